/**
 * Every fault point of the calls of a container: the call fails, the device reaches what it reached, and the same call
 * then succeeds. A cut that came first stays, and nothing shows it.
 *
 * Source: iommufd 2.14, 5
 */
import { expect, test } from 'vitest';
import { Container, TYPE1 } from './container-rig.ts';
import { A } from './iommufd-rig.ts';
import { sweep } from './kernel-rig.ts';

function container(): Container {
  const it = new Container(TYPE1);
  it.must({ do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'h' });
  expect(it.mapDma(A, 0x8000n)).toBe(0);
  it.mapFile({ iova: A + 0x10000n });
  return it;
}

test('MAP_DMA, with two domains: at every fault point, leaves all as it was, and then succeeds', () => {
  const it = container();
  const untouched = it.state(['dev0', 'h']);
  const sites = sweep(
    it.machine.kernel,
    () => it.mapDma(A + 0x20000n, 0x3000n),
    (answer, site) => {
      expect(answer, site).toMatch(/^(ENOMEM|EFAULT)$/);
      expect(it.state(['dev0', 'h']), site).toEqual(untouched);
    },
  );
  expect(new Set(sites)).toEqual(
    new Set(['iopt_alloc_pages', 'iopt_area_alloc', 'batch_init', 'do_update_pinned', 'pin_user_pages', 'iommu_map']),
  );
  expect(it.reach('h')).toContain('0x1020000 -> m+0x0 0x3000 RW+CACHE');
  it.expectAtRest();
});

test('UNMAP_DMA of the middle of an area: fails only at its two cuts, reaches as before, and then succeeds', () => {
  const it = container();
  const reach = [it.reach('dev0'), it.reach('h')];
  const sizes: number[] = [];
  const sites = sweep(
    it.machine.kernel,
    () => it.unmapDma(A + 0x2000n, 0x3000n),
    (answer) => {
      // What was asked for still stands where nothing is said.
      expect(answer).toEqual(['ENOMEM', 0x3000n]);
      expect([it.reach('dev0'), it.reach('h')]).toEqual(reach);
      it.expectAtRest();
      sizes.push(it.ioas().iopt.areas.size);
    },
  );
  expect([sites, sizes]).toEqual([
    ['iopt_area_split', 'iopt_area_split'],
    [2, 3],
  ]);
  expect([it.ioas().iopt.areas.size, it.pinned()]).toEqual([3, { m: 5 }]);
  it.expectAtRest();
});

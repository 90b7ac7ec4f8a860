/**
 * The kernel's selftests of the fixture `iommufd_mock_domain`, with the pins that a trace does not show, and with what
 * devices are moved to by their numbers. And what of HWPT_ALLOC concerns no nesting.
 *
 * Source: iommufd 6.3 (T-22), 6.4 (T-50, T-51, T-53, T-54, T-56, T-57)
 */
import { describe, expect, test } from 'vitest';
import { munmap } from '../../impl/kernel/munmap.ts';
import { IOMMU_HWPT_ALLOC } from '../../impl/uapi/iommufd-structs.ts';
import { MOCK_LANE, OK } from '../unit/iommufd-rig.ts';
import { RawRig } from '../unit/raw-rig.ts';
import { H, iovaOf, M, P, Selftest } from './rig.ts';

const err = (name: string) => ({ err: name });

/** Variants of the fixture: how many devices share the domain, and how long the local buffer is. */
const VARIANTS: readonly (readonly [variant: string, devices: number, length: bigint])[] = [
  ['one_domain', 1, 8n * P],
  ['two_domains', 2, 8n * P],
  ['one_domain_hugepage', 1, 2n * H],
  ['two_domains_hugepage', 2, 2n * H],
];
const SMALL = VARIANTS.slice(0, 2);

/** The fixture with `l`, its buffer, and `lf`, a memfd of the same length. */
function open(devices: number, length: bigint): Selftest {
  const it = new Selftest(devices);
  it.allocate('l', length);
  it.must({ do: 'memfd_create', as: 'lf', length });
  return it;
}

/** CHK on every HWPT of the fixture. */
function checkAll(it: Selftest, devices: number, iova: bigint, length: bigint, mem: string, offset = 0n): void {
  for (let i = 0; i < devices; i++) it.check(`hmd${i}`, iova, length, mem, offset);
}

describe.each(VARIANTS)('iommufd_mock_domain, %s', (_, devices, length) => {
  test('basic: a page is mapped, and memory of which half or all is gone is EFAULT', () => {
    const it = open(devices, length);
    checkAll(it, devices, it.mapA(P, 0n, 'l'), P, 'l');
    it.allocate('half', length / 2n);
    expect(it.map('half', length)).toEqual(err('EFAULT'));
    const named = it.machine.names.get('half');
    if (named?.kind === 'mem') it.call(munmap(it.machine.mm, named.address, named.length));
    expect([it.map('half', length), it.map('half', length / 2n)]).toEqual([err('EFAULT'), err('EFAULT')]);
    it.teardown();
  });

  test('basic, of a file: a page is mapped, and what lies behind its end is EINVAL', () => {
    const it = open(devices, length);
    checkAll(it, devices, iovaOf(it.mapFileAt('lf', 0n, P)), P, 'lf');
    expect(it.mapFileAt('lf', 0n, length + 1n)).toEqual(err('EINVAL'));
    // As far as the call can tell, a file of which nothing is left.
    expect(it.mapFileAt('lf', length, length)).toEqual(err('EINVAL'));
    it.teardown();
  });
});

describe.each(SMALL)('iommufd_mock_domain, %s', (_, devices, length) => {
  /** Every start and end at a multiple of half a page, mapped and unmapped; `meanwhile` comes in between. */
  function allAligns(it: Selftest, mem: 'l' | 'lf', meanwhile: (iova: bigint, size: bigint, start: bigint) => void) {
    const pins = (first: bigint, last: bigint): number[] =>
      Array.from({ length: Number(length / P) }, (_unused, i) => (BigInt(i) >= first && BigInt(i) <= last ? 1 : 0));
    const held = (): number[] => Array.from({ length: Number(length / P) }, (_unused, i) => it.backing(mem).pinsOf(i));
    let ranges = 0;
    for (let start = 0n; start < length; start += M) {
      for (let end = start + M; end < length; end += M) {
        const size = end - start;
        const iova = mem === 'l' ? it.mapA(size, start, mem) : iovaOf(it.mapFileAt(mem, start, size));
        checkAll(it, devices, iova, size, mem, start);
        meanwhile(iova, size, start);
        expect(held()).toEqual(pins(start / P, (end - 1n) / P));
        it.must({ do: 'ioas_unmap', ioas: 'ioas', iova, length: size });
        ranges++;
      }
    }
    expect([ranges, held()]).toEqual([120, pins(1n, 0n)]);
    it.teardown();
  }

  test.each(['l', 'lf'] as const)('all_aligns: whatever part of %s is mapped, its pages are pinned once', (mem) => {
    allAligns(open(devices, length), mem, () => undefined);
  });

  test.each(['l', 'lf'] as const)('all_aligns_copy: a device that comes and goes pins nothing more of %s', (mem) => {
    const it = open(devices, length);
    allAligns(it, mem, (iova, size, start) => {
      const dev = it.att();
      it.check(`h${dev}`, iova, size, mem, start);
      it.detach(dev);
    });
  });

  test('replace: a device goes to another IOAS, to the same again, to a HWPT that is still there, and back', () => {
    const it = open(devices, length);
    it.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'i' });
    const replace = (pt: string) => it.replaceDevice('md0', pt);
    expect(replace('i')).toBeUndefined();
    if (devices === 1) expect([replace('hmd0'), replace('i')]).toEqual(['ENOENT', undefined]);
    else expect([replace('hmd1'), replace('hmd1'), replace('hmd0')]).toEqual([undefined, undefined, undefined]);
    expect(replace('ioas')).toBeUndefined();
    expect(it.do({ do: 'destroy', obj: 'i' })).toEqual(OK);
    it.teardown();
  });

  test('alloc_hwpt: a HWPT that a device is attached to is EBUSY, and can be left and come back to', () => {
    const it = open(devices, length);
    for (let i = 0; i < devices; i++) {
      const dev = `md${i}`;
      const alloc = (as: string, flags: bigint) => it.do({ do: 'hwpt_alloc', dev, ioas: 'ioas', as, flags });
      const destroy = (obj: string) => it.do({ do: 'destroy', obj });
      expect([alloc('x', 0xffff_fffen), alloc('h0', 0n), alloc('h1', 1n)]).toEqual([err('EOPNOTSUPP'), OK, OK]);
      expect([it.replaceDevice(dev, 'h0'), destroy('h0')]).toEqual([undefined, err('EBUSY')]);
      expect([it.replaceDevice(dev, 'h1'), destroy('h1')]).toEqual([undefined, err('EBUSY')]);
      expect([it.replaceDevice(dev, 'ioas'), destroy('h1')]).toEqual([undefined, OK]);
      it.detach(it.att('h0'));
      expect(destroy('h0')).toEqual(OK);
    }
    it.teardown();
  });
});

test.each([
  ['no_domain', 0],
  ['mock_domain', 1],
])('iommufd_ioas, %s, alloc_hwpt_nested: what is no device, what is no page table, and a parent', (_, devices) => {
  const rig = new RawRig(MOCK_LANE);
  if (devices > 0) rig.must({ do: 'mock_domain', ioas: 'ioas', as: 'h', dev: 'md0' });
  const dev = rig.machine.mocks.get('md0')?.iommufdDevice?.id ?? 0;
  const alloc = (dev_id: number, pt_id: number, flags = 0) =>
    rig.raw(0x3b89, IOMMU_HWPT_ALLOC, { dev_id, pt_id, flags }).answer;
  if (devices === 0) expect(alloc(0, rig.id())).toBe('ENOENT');
  else {
    expect([alloc(rig.id(), dev), alloc(dev, dev), alloc(dev, rig.id(), 5)]).toEqual([
      'ENOENT',
      'EINVAL',
      'EOPNOTSUPP',
    ]);
    expect([alloc(dev, rig.id(), 1), alloc(dev, rig.id())]).toEqual([0, 0]);
  }
  rig.expectAtRest();
});

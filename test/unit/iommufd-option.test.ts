/** IOMMU_OPTION: huge pages of an IOAS, and who is charged in a context. Source: iommufd 2.5, 2.15, I-21, I-44, I-87 */
import { describe, expect, test } from 'vitest';
import {
  iommufdOption,
  OPTION_GET,
  OPTION_HUGE_PAGES,
  OPTION_RLIMIT_MODE,
  OPTION_SET,
} from '../../impl/iommufd/option.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { fromBigint, toBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, attached, MOCK, mapFileOf, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

const set = (enable: boolean, ioas = 'ioas'): Command => ({ do: 'ioas_option_huge_pages', ioas, enable });
const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' };
const memory: Command = { do: 'mem_alloc', as: 'm', length: 0x8000n };

const alignment = (rig: Rig): unknown => {
  const answer = rig.ranges();
  return 'ok' in answer && answer.ok.alignment;
};

/** The ioctl itself, by a caller who is root unless told otherwise; what it writes back, or its errno. */
function option(
  rig: Rig,
  args: { option: number; op: number; objectId?: number; value?: bigint; reserved?: number },
  root = true,
): unknown {
  const { value = 0n, objectId = 0, ...rest } = args;
  rig.machine.process.capSysResource = root;
  const answer = rig.call(iommufdOption(rig.ioas().ctx, { ...rest, objectId, value: fromBigint(value) }));
  return isErrno(answer) ? answer : toBigint(answer);
}

describe('huge pages off', () => {
  test('raises the alignment to a page, and on again lowers it to what the domains ask for', () => {
    const rig = attached([], '7.2', MOCK);
    expect(alignment(rig)).toBe(0x800n);
    expect([rig.do(set(false)), alignment(rig)]).toEqual([OK, 0x1000n]);
    expect([rig.do(set(true)), alignment(rig)]).toEqual([OK, 0x800n]);
    rig.must({ do: 'vfio_detach', dev: 'dev0' }, set(false), set(true));
    expect(alignment(rig)).toBe(1n);
    rig.expectAtRest();
  });

  test('keeps the alignment of a page when the last domain goes', () => {
    const rig = attached([set(false)], '7.2', MOCK);
    rig.must({ do: 'vfio_detach', dev: 'dev0' });
    expect(alignment(rig)).toBe(0x1000n);
  });

  test.each<[what: string, how: Partial<ReturnType<typeof mapFileOf>>]>([
    ['an IOVA', { iova: A + 0x800n, length: 0x1000n }],
    ['a length', { length: 0x800n }],
    ['an offset in its first page', { start: 0x800n, length: 0x1000n }],
  ])('is EADDRINUSE for an area with %s of no whole pages, and stays on', (_, how) => {
    const rig = new Rig();
    rig.must({ ...mapFileOf(), ...how });
    expect([rig.do(set(false)), alignment(rig)]).toEqual([{ err: 'EADDRINUSE' }, 1n]);
    expect(rig.mapFile({ iova: 3n, length: 1n })).toEqual(at(3n));
  });

  test('is EADDRINUSE with an area of no whole pages, and later maps by large pages as before', () => {
    const rig = new Rig();
    rig.mapFile({ iova: 0x20_0000n, length: 0x20_0000n });
    rig.mapFile({ iova: 0x1001n, length: 1n, start: 1n });
    expect(rig.do(set(false))).toEqual({ err: 'EADDRINUSE' });
    rig.must({ do: 'ioas_unmap', ioas: 'ioas', iova: 0x1001n, length: 1n }, attach);
    expect(rig.calls()).toEqual(['map ioas 0x200000 -> dev0:2+0x0 0x200000 RW+MMIO']);
  });

  test('is EINVAL with a domain and an area, even a revoked one, whatever its alignment', () => {
    const rig = attached([mapFileOf()]);
    expect(rig.do(set(false))).toEqual({ err: 'EINVAL' });
    rig.memory(false);
    expect(rig.do(set(false))).toEqual({ err: 'EINVAL' });
    rig.must({ do: 'ioas_unmap', ioas: 'ioas', iova: 0n, length: U64_MAX });
    expect([rig.do(set(false)), alignment(rig)]).toEqual([OK, 0x1000n]);
  });

  test('is EINVAL before EADDRINUSE', () => {
    const rig = attached([mapFileOf()], '7.2', MOCK);
    rig.mapFile({ start: 0x800n, length: 0x800n, iova: A + 0x8000n });
    expect(rig.do(set(false))).toEqual({ err: 'EINVAL' });
  });

  test('succeeds once more when they are off already, with a domain and an area', () => {
    const rig = attached([set(false), mapFileOf()]);
    expect([rig.do(set(false)), rig.do(set(true)), rig.do(set(false))]).toEqual([OK, OK, { err: 'EINVAL' }]);
  });

  test('makes MAP refuse what is no whole pages', () => {
    const rig = new Rig();
    rig.must(set(false));
    expect(rig.mapFile({ length: 0x800n })).toEqual({ err: 'EINVAL' });
    expect(rig.mapFile({ start: 0x800n, length: 0x1000n })).toEqual({ err: 'EINVAL' });
    expect(rig.mapFile({ iova: A + 0x800n, length: 0x1000n })).toEqual({ err: 'EINVAL' });
    expect(rig.mapFile({ length: 0x1000n })).toEqual(at(A));
  });

  test('maps a buffer page by page, upwards, and still unmaps it in one call (I-21, I-22)', () => {
    const rig = attached([set(false)], '7.2', MOCK);
    rig.mapFile({ length: 0x3000n });
    expect(rig.calls()).toEqual([
      'map ioas 0x1000000 -> dev0:2+0x0 0x1000 RW+MMIO',
      'map ioas 0x1001000 -> dev0:2+0x1000 0x1000 RW+MMIO',
      'map ioas 0x1002000 -> dev0:2+0x2000 0x1000 RW+MMIO',
    ]);
    rig.memory(false);
    expect(rig.calls()).toEqual(['unmap ioas 0x1000000 0x3000']);
  });

  test('maps page by page what a new domain, a copy, and memory bring; on again, in one call', () => {
    const rig = new Rig();
    rig.must(set(false), memory, mapFileOf(), attach);
    rig.map('m', 0x2000n, { iova: 0n });
    rig.copy(A, 0x2000n, { dst_iova: 0x200_0000n });
    rig.must(hwpt);
    const pages = rig.calls().filter((call) => call.startsWith('map '));
    expect([pages.length, pages.every((call) => call.includes(' 0x1000 '))]).toEqual([4 + 2 + 2 + 8, true]);
    expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0x8000n));
    rig.must(set(true));
    rig.calls();
    rig.mapFile();
    expect(rig.calls()).toEqual([
      'map ioas 0x1000000 -> dev0:2+0x0 0x4000 RW+MMIO',
      'map hwpt 0x1000000 -> dev0:2+0x0 0x4000 RW+MMIO',
    ]);
  });

  test('leaves nothing mapped when a page in the middle cannot be', () => {
    const rig = attached([set(false)]);
    rig.machine.kernel.faults.arm(3, 'iommu_map');
    expect(rig.mapFile()).toEqual({ err: 'ENOMEM' });
    rig.machine.kernel.faults.disarm();
    expect(rig.reach('dev0')).toEqual([]);
    expect(rig.calls().at(-1)).toBe('unmap ioas 0x1000000 0x2000');
    rig.expectAtRest();
  });

  test('ENOENT for a page table, EBADF for an IOAS of a closed iommufd', () => {
    const rig = attached([hwpt]);
    expect(rig.do(set(false, 'hwpt'))).toEqual({ err: 'ENOENT' });
    rig.must({ do: 'iommufd_close', ctx: 'ctx' });
    expect(rig.do(set(false))).toEqual({ err: 'EBADF' });
  });
});

describe('IOMMU_OPTION', () => {
  const huge = (rig: Rig, op: number, value?: bigint, objectId = rig.ioas().id): unknown =>
    option(rig, { option: OPTION_HUGE_PAGES, op, objectId, ...(value !== undefined && { value }) });

  test('huge pages are on in a new IOAS, and are what was set last', () => {
    const rig = new Rig();
    expect(huge(rig, OPTION_GET)).toBe(1n);
    expect([huge(rig, OPTION_SET, 0n), huge(rig, OPTION_GET)]).toEqual([0n, 0n]);
    expect([huge(rig, OPTION_SET, 2n), huge(rig, OPTION_GET)]).toEqual(['EINVAL', 0n]);
    expect([huge(rig, OPTION_SET, 1n), huge(rig, OPTION_GET)]).toEqual([1n, 1n]);
    expect(huge(rig, 2)).toBe('EOPNOTSUPP');
    for (const op of [OPTION_GET, OPTION_SET]) expect(huge(rig, op, 2n, 0)).toBe('ENOENT');
    rig.expectAtRest();
  });

  test.each([
    ['a reserved field that is set', { option: OPTION_HUGE_PAGES, op: OPTION_GET, reserved: 1 }],
    ['an option that there is not', { option: 2, op: OPTION_GET }],
    ['an object, with the mode of the context', { option: OPTION_RLIMIT_MODE, op: OPTION_GET, objectId: 1 }],
    ['another operation on the mode', { option: OPTION_RLIMIT_MODE, op: 2 }],
  ])('is EOPNOTSUPP for %s', (_, args) => {
    expect(option(new Rig(), args)).toBe('EOPNOTSUPP');
  });

  const mode = (rig: Rig, value?: bigint, root?: boolean): unknown =>
    option(
      rig,
      value === undefined
        ? { option: OPTION_RLIMIT_MODE, op: OPTION_GET }
        : { option: OPTION_RLIMIT_MODE, op: OPTION_SET, value },
      root,
    );

  test('the mode is EPERM without the capability, EBUSY with any object, EINVAL above 1, in that order', () => {
    const rig = new Rig();
    expect([mode(rig, 2n, false), mode(rig, 2n)]).toEqual(['EPERM', 'EBUSY']);
    expect(mode(rig, undefined, false)).toBe(0n);
  });

  test('the mode of an empty context is what was set last', () => {
    const rig = new Rig();
    const { ctx } = rig.ioas();
    for (const dev of ['dev0', 'dev1']) rig.must({ do: 'vfio_close', dev });
    rig.must({ do: 'destroy', obj: 'ioas' });
    expect(ctx.objects).toEqual([]);
    expect([mode(rig, 1n), mode(rig), mode(rig, 2n), mode(rig), mode(rig, 0n), mode(rig)]).toEqual([
      1n,
      1n,
      'EINVAL',
      1n,
      0n,
      0n,
    ]);
  });
});

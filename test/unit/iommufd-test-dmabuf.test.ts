/** The test exporter of dma-bufs, and iommufd as its importer. Source: iommufd 3.2, 3.3, 3.5, 6.5, 7.5; I-30 to I-35 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dynamicAttach, mapAttachment, unmapAttachment } from '../../impl/dmabuf/attachment.ts';
import { type DmaBuf, dmaBufOf } from '../../impl/dmabuf/dma-buf.ts';
import type { DmaPath } from '../../impl/dmabuf/dma-path.ts';
import { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, hex, toBigint } from '../../impl/kernel/units.ts';
import type { Errno } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, MOCK_LANE, mapFileOf, OK, Rig, removed } from './iommufd-rig.ts';
import { splatOf } from './kernel-rig.ts';

const create = (length: bigint, as = 'buf'): Command => ({ do: 'mock_dmabuf', length, as });
const revoke: Command = { do: 'mock_revoke', fd: 'buf', revoked: true };
const restore: Command = { do: 'mock_revoke', fd: 'buf', revoked: false };
const mock: Command = { do: 'mock_domain', ioas: 'ioas', as: 'h', dev: 'md' };

/** A mock device `md` on `ioas`, a buffer `buf` of 16 KiB, and another, which is not there to be reached. */
function world(...more: readonly Command[]): Rig {
  const rig = new Rig(MOCK_LANE);
  rig.must(mock, create(0x4000n), create(0x4000n, 'neighbour'), ...more);
  rig.calls();
  return rig;
}

function bufferOf(rig: Rig, handle = 'buf'): DmaBuf {
  const file = rig.machine.fds.lookup(rig.fd(handle));
  const dmabuf = file && dmaBufOf(file);
  if (dmabuf === undefined) throw new Error(`${handle} is no buffer`);
  return dmabuf;
}

describe('the length of a test buffer', () => {
  test.each<[length: bigint, answer: Errno | 'ok']>([
    [0n, 'EINVAL'],
    [1n, 'ok'],
    [0x1f_ffffn, 'ok'],
    [0x20_0000n, 'ok'],
    [0x20_0001n, 'EINVAL'],
    [0x20_1000n, 'EINVAL'],
    [2n ** 32n, 'EINVAL'],
    [2n ** 64n - 1n, 'EINVAL'],
  ])('%o is %s', (length, answer) => {
    const rig = new Rig(MOCK_LANE);
    const before = rig.machine.fds.size;
    expect(rig.do(create(length))).toEqual(answer === 'ok' ? OK : { err: answer });
    expect(rig.machine.fds.size).toBe(before + (answer === 'ok' ? 1 : 0));
    rig.expectAtRest();
  });

  test.each([
    [1n, 0x1000n],
    [0x1000n, 0x1000n],
    [0x1001n, 0x2000n],
  ])('%o is rounded up to pages: %o can be mapped, and not a byte more (I-34)', (length, size) => {
    const rig = world(create(length, 'small'));
    const whole = { fd: 'small', length: size };
    expect(rig.mapFile(whole)).toEqual(at(A));
    expect(rig.mapFile({ ...whole, length: size + 1n, iova: A + 0x10000n })).toEqual({ err: 'EINVAL' });
    expect(rig.mapFile({ ...whole, start: size, length: 1n, iova: A + 0x10000n })).toEqual({ err: 'EINVAL' });
  });
});

describe('a revoke of a test buffer', () => {
  test.each<[answer: Errno, what: string, fd: string, before: readonly Command[]]>([
    ['EBADF', 'a descriptor that is closed', 'buf', [{ do: 'fd_close', fd: 'buf' }]],
    ['EBADF', 'a name that nobody gave', 'nobody', []],
    ['EINVAL', 'a memfd', 'f', [{ do: 'memfd_create', as: 'f', length: 0x1000n }]],
  ])('is %s for %s', (answer, _, fd, before) => {
    const rig = world(...before);
    for (const revoked of [true, false]) expect(rig.do({ do: 'mock_revoke', fd, revoked })).toEqual({ err: answer });
    rig.expectAtRest();
  });

  test('is EOPNOTSUPP for a buffer of vfio-pci, which stays as it is', () => {
    const rig = new Rig();
    rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' }, mapFileOf());
    rig.calls();
    expect([rig.do(revoke), rig.do(restore), rig.calls()]).toEqual([{ err: 'EOPNOTSUPP' }, { err: 'EOPNOTSUPP' }, []]);
    rig.expectAtRest();
  });

  test('unmaps all that is mapped from the buffer, from the newest attachment on, and only once', () => {
    const rig = world({ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }, { ...mock, ioas: 'other', as: 'h2', dev: 'md2' });
    rig.mapFile({ length: 0x2000n });
    rig.mapFile({ ioas: 'other', start: 0x2000n, length: 0x2000n });
    rig.mapFile({ fd: 'neighbour', iova: A + 0x10000n });
    rig.calls();
    expect(rig.do(revoke)).toEqual(OK);
    expect(rig.calls()).toEqual(['unmap other 0x1000000 0x2000', 'unmap ioas 0x1000000 0x2000']);
    expect([rig.do(revoke), rig.do(restore), rig.calls()]).toEqual([OK, OK, []]);
    expect(rig.reach('md')).toEqual(['0x1010000 -> neighbour+0x0 0x4000 RW+MMIO']);
    rig.expectAtRest();
  });

  test('is one to every importer, even if it gives back a buffer that was not revoked', () => {
    const rig = world(mapFileOf());
    expect([rig.do(restore), rig.calls()]).toEqual([OK, ['unmap ioas 0x1000000 0x4000']]);
    expect(rig.mapFile({ iova: A + 0x10000n })).toEqual(at(A + 0x10000n));
    expect(rig.reach('md')).toEqual(['0x1010000 -> buf+0x0 0x4000 RW+MMIO']);
    expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
    rig.expectAtRest();
  });

  test('makes MAP_FILE fail by its size first, then ENODEV, then by its place; restored, by its place (G-05)', () => {
    const rig = world(revoke);
    const wrong = { iova: A + 1n };
    expect(rig.mapFile({ ...wrong, length: 0x4001n })).toEqual({ err: 'EINVAL' });
    expect(rig.mapFile(wrong)).toEqual({ err: 'ENODEV' });
    expect([rig.do(restore), rig.mapFile(wrong)]).toEqual([OK, { err: 'EINVAL' }]);
    expect([bufferOf(rig).attached, rig.mapFile()]).toEqual([0, at(A)]);
    rig.expectAtRest();
  });

  test('goes through any descriptor of the buffer, and not through one that was its last', () => {
    const rig = world(mapFileOf(), { do: 'fd_dup', fd: 'buf', as: 'twin' }, { do: 'fd_close', fd: 'buf' });
    expect(rig.do(revoke)).toEqual({ err: 'EBADF' });
    expect(rig.reach('md')).toEqual(['0x1000000 -> buf+0x0 0x4000 RW+MMIO']);
    expect([rig.do({ ...revoke, fd: 'twin' } as Command), rig.reach('md')]).toEqual([OK, []]);
    rig.must({ do: 'fd_close', fd: 'twin' });
    expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
    rig.expectAtRest();
  });
});

const NO_PATH: DmaPath = {
  lengths: () => [],
  map: () => undefined,
  sync: () => undefined,
  segments: () => [],
  destroy: () => {},
};

test('an importer other than iommufd may attach to a test buffer, revoked or not, and map nothing', () => {
  const rig = world(revoke);
  const dmabuf = bufferOf(rig);
  const ops = { allowPeer2peer: false };
  const attachment = rig.call(dynamicAttach(dmabuf, { name: 'nic' }, ops, undefined));
  if (isErrno(attachment)) throw new Error(attachment);
  function* locked<T>(work: () => Thread<T>): Thread<T> {
    yield dmabuf.resv;
    try {
      return yield* work();
    } finally {
      dmabuf.resv.release();
    }
  }
  expect(rig.call(locked(() => mapAttachment(attachment)))).toBe('EOPNOTSUPP');
  const unmap = function* (): Thread {
    unmapAttachment(attachment, new SgTable(attachment, [], [], NO_PATH));
  };
  expect(splatOf(() => rig.call(locked(unmap)))).toBe('WARN: buf is unmapped, which nobody can have mapped');
});

test('the buffer is released when its last descriptor and its last area are gone, in whichever order', () => {
  const rig = world(mapFileOf());
  const { resv, file } = bufferOf(rig);
  rig.must({ do: 'fd_close', fd: 'buf' });
  expect([file.refs.count, bufferOf(rig, 'neighbour').attached]).toEqual([1, 0]);
  rig.unmap(A, 0x4000n);
  expect(file.refs.count).toBe(0);
  const take = function* (): Thread {
    yield resv;
  };
  expect(splatOf(() => rig.call(take()))).toContain('after mutex_destroy');
});

describe('sub-page offsets, on pages of 2 KiB', () => {
  const leavesOf = (rig: Rig): string[] => {
    const domain = rig.domain('md');
    const { apertureFirst, apertureLast } = domain.iommu;
    return domain.leaves(apertureFirst, apertureLast).map(({ iova, length }) => `${hex(iova)} ${hex(length)}`);
  };

  test.each<[example: string, start: bigint, length: bigint, iova: bigint, call: string, leaves: string[]]>([
    [
      'A',
      0x1000n,
      0x2000n,
      A,
      'map ioas 0x1000000 -> buf+0x1000 0x2000 RW+MMIO',
      ['0x1000000 0x1000', '0x1001000 0x1000'],
    ],
    [
      'B',
      0x1800n,
      0x1000n,
      A + 0x800n,
      'map ioas 0x1000800 -> buf+0x1800 0x1000 RW+MMIO',
      ['0x1000800 0x800', '0x1001000 0x800'],
    ],
    ['D', 0x800n, 0x800n, 0x300_0000n, 'map ioas 0x3000000 -> buf+0x800 0x800 RW+MMIO', ['0x3000000 0x800']],
  ])('example %s is one call, in the largest leaves that fit', (_, start, length, iova, call, leaves) => {
    const rig = world();
    expect(rig.mapFile({ start, length, iova })).toEqual(at(iova));
    expect([rig.calls(), leavesOf(rig)]).toEqual([[call], leaves]);
  });

  const halves = (min: number, max: number): fc.Arbitrary<bigint> =>
    fc.integer({ min, max }).map((times) => BigInt(times) * 0x800n);

  test('a mapping and a copy of a part reach the bytes that were asked for, and none beside (I-30 to I-35)', () => {
    fc.assert(
      fc.property(
        fc.record({ start: halves(0, 7), length: halves(1, 8), gap: halves(0, 3) }),
        fc.record({ from: halves(0, 7), length: halves(1, 8), gap: halves(0, 3) }),
        (map, slice) => {
          const rig = world();
          const iova = A + map.gap;
          const fits = map.start + map.length <= 0x4000n;
          expect(rig.mapFile({ ...map, iova })).toEqual(fits ? at(iova) : { err: 'EINVAL' });
          if (!fits) return;
          expectBytes(rig, iova, map.length, map.start);
          const dst = 0x200_0000n + slice.gap;
          const inside = slice.from + slice.length <= map.length;
          const copied = rig.copy(iova + slice.from, slice.length, { dst_iova: dst });
          expect(copied).toEqual(inside ? at(dst) : { err: 'ENOENT' });
          if (inside) expectBytes(rig, dst, slice.length, map.start + slice.from);
          rig.must(revoke);
          for (const call of rig.machine.takeCalls()) {
            const phys = call.op === 'map' ? call.phys : 0;
            expect((toBigint(call.iova) | BigInt(phys) | BigInt(call.length)) % 0x800n).toBe(0n);
          }
          expect(rig.reach('md')).toEqual([]);
          rig.expectAtRest();
        },
      ),
      { numRuns: 80 },
    );
  });

  function expectBytes(rig: Rig, iova: bigint, length: bigint, start: bigint): void {
    for (const x of [-1n, 0n, 0x7ffn, 0x800n, 0xfffn, 0x1000n, length - 1n, length].filter((it) => it <= length)) {
      const phys = rig.domain('md').translate(fromBigint(iova + x));
      const found = phys === undefined ? undefined : rig.place(phys);
      expect(found, `byte ${x}`).toBe(x < 0n || x >= length ? undefined : `buf+0x${(start + x).toString(16)}`);
    }
  }
});

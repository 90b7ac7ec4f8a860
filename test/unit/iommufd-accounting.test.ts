/**
 * Who pays for pinned memory: its user, its process, or nobody; never more than RLIMIT_MEMLOCK of who mapped it; and
 * never for a dma-buf.
 *
 * Source: iommufd 1.4, 2.15, 5; I-26, I-76, I-77, I-78
 */
import { describe, expect, test } from 'vitest';
import { getRlimitMode, setRlimitMode } from '../../impl/iommufd/rlimit-mode.ts';
import { exitMmap } from '../../impl/kernel/munmap.ts';
import { fromBigint, ONE, ZERO } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, mapFileOf, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

const PAGES = 8n;
const LENGTH = PAGES * 0x1000n;
const memory: readonly Command[] = [
  { do: 'mem_alloc', as: 'm', length: 0x10000n },
  { do: 'memfd_create', as: 'f', length: 0x10000n },
];
const MAP = { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: LENGTH, prot: 'rw', iova: A } as const;
const MAP_MEMFD: Command = { ...mapFileOf(), fd: 'f', length: LENGTH, iova: A + 0x10_0000n };
const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const ENOMEM = { err: 'ENOMEM' };

/** A machine whose process may lock `pages` pages, and is charged as the context says. */
class Limited extends Rig {
  constructor(pages: bigint, mode: 'user' | 'mm' = 'user') {
    super();
    this.must(...memory);
    this.limit(pages);
    this.process.capIpcLock = false;
    this.ioas().ctx.accountMode = mode;
  }

  get process(): Rig['machine']['process'] {
    return this.machine.process;
  }

  limit(pages: bigint): void {
    this.process.rlimitMemlock = fromBigint(pages * 0x1000n);
  }

  /** Pages charged: to the user, to the process, and counted for the process in any case. */
  get charged(): [user: number, locked: number, pinned: number] {
    this.expectAtRest();
    return [this.process.user.lockedVm, this.process.mm.lockedVm, this.process.mm.pinnedVm];
  }
}

test.each<[mode: 'user' | 'mm', capable: boolean, charged: [number, number, number]]>([
  ['user', false, [8, 0, 8]],
  ['mm', false, [0, 8, 8]],
  ['user', true, [0, 0, 8]],
  ['mm', true, [0, 0, 8]],
])(
  'a context that charges the %s, with CAP_IPC_LOCK %s, charges what the first domain pins',
  (mode, capable, charged) => {
    for (const map of [MAP, MAP_MEMFD]) {
      const rig = new Limited(PAGES, mode);
      rig.process.capIpcLock = capable;
      rig.must(map);
      const seen = [rig.charged];
      for (const command of [
        attach,
        { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' },
        { do: 'vfio_detach', dev: 'dev0' },
        { do: 'destroy', obj: 'hwpt' },
      ] satisfies Command[]) {
        rig.must(command);
        seen.push(rig.charged);
      }
      expect(seen).toEqual([[0, 0, 0], charged, charged, charged, [0, 0, 0]]);
    }
  },
);

describe.each(['user', 'mm'] as const)('above RLIMIT_MEMLOCK, charging the %s,', (mode) => {
  test.each([MAP, MAP_MEMFD])('$do is ENOMEM, undoes all in both domains, and succeeds with a page more', (map) => {
    const rig = new Limited(PAGES - 1n, mode);
    rig.must(attach, { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' });
    const untouched = rig.state(['dev0', 'hwpt']);
    rig.calls();
    expect(rig.do(map)).toEqual(ENOMEM);
    // It is charged after pinning and mapping: both domains had it.
    expect(rig.calls().map((call) => call.split(' ', 2))).toEqual([
      ['map', 'ioas'],
      ['map', 'hwpt'],
      ['unmap', 'ioas'],
      ['unmap', 'hwpt'],
    ]);
    expect(rig.state(['dev0', 'hwpt'])).toEqual(untouched);
    expect(rig.charged).toEqual([0, 0, 0]);
    rig.limit(PAGES);
    expect(rig.do(map)).toHaveProperty('ok');
  });

  test('attach is ENOMEM at the second area, and lets go of the first', () => {
    const rig = new Limited(2n * PAGES - 1n, mode);
    rig.must(MAP, MAP_MEMFD);
    expect(rig.attach()).toEqual(ENOMEM);
    expect([rig.charged, rig.pinned()]).toEqual([[0, 0, 0], {}]);
    rig.limit(2n * PAGES);
    expect(rig.attach()).toEqual(OK);
    expect(rig.charged[2]).toBe(16);
  });

  test('COPY is ENOMEM at its second piece, and lets go of the first', () => {
    const rig = new Limited(3n, mode);
    rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }, { ...MAP, ioas: 'other', length: 0x2000n });
    rig.must({ ...MAP, ioas: 'other', length: 0x2000n, iova: A + 0x2000n }, attach);
    const copy = { src: 'other', dst_iova: A };
    expect(rig.copy(A, 0x4000n, copy)).toEqual(ENOMEM);
    expect([rig.charged, rig.pinned(), rig.reach('dev0')]).toEqual([[0, 0, 0], {}, []]);
    rig.limit(4n);
    expect(rig.copy(A, 0x4000n, copy)).toEqual(at(A));
  });
});

test('a limit that ends within a page does not count that page', () => {
  const rig = new Limited(PAGES);
  rig.must(attach);
  rig.process.rlimitMemlock = fromBigint(LENGTH - 1n);
  expect(rig.do(MAP)).toEqual(ENOMEM);
});

test('a copy of what a domain has charges nothing, even with no limit left; the last area pays it back', () => {
  const rig = new Limited(PAGES);
  rig.must(attach, MAP);
  rig.limit(0n);
  expect(rig.copy(A + 0x2000n, 0x3000n, { dst_iova: 0x200_0000n })).toEqual(at(0x200_0000n));
  expect(rig.charged).toEqual([8, 0, 8]);
  expect(rig.unmap(A, LENGTH)).toEqual(removed(LENGTH));
  expect(rig.charged).toEqual([3, 0, 3]);
  expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0x3000n));
  expect(rig.charged).toEqual([0, 0, 0]);
});

test('two mappings of the same memory are two pages objects, and charged twice', () => {
  const rig = new Limited(2n * PAGES - 1n);
  rig.must(attach, MAP);
  expect(rig.do({ ...MAP, iova: A + 0x10_0000n })).toEqual(ENOMEM);
  rig.limit(2n * PAGES);
  expect(rig.do({ ...MAP, iova: A + 0x10_0000n })).toHaveProperty('ok');
  expect([rig.charged, rig.pinned()]).toEqual([[16, 0, 16], { m: 16 }]);
});

test('the user that mapped pays, whoever the process belongs to when a domain comes', () => {
  const rig = new Limited(PAGES);
  const [before, after] = [rig.process.user, rig.machine.addUser('other')];
  rig.must(MAP);
  rig.process.user = after;
  rig.process.capIpcLock = true;
  rig.must(attach, MAP_MEMFD);
  expect([before.lockedVm, after.lockedVm, rig.charged[2]]).toEqual([8, 0, 16]);
  rig.must({ do: 'vfio_detach', dev: 'dev0' });
  expect([before.lockedVm, after.lockedVm, rig.charged[2]]).toEqual([0, 0, 0]);
});

test('processes of one user share what he has locked; the limit is that of the one that mapped', () => {
  const rig = new Limited(PAGES);
  const first = rig.process;
  const second = rig.machine.addProcess('second', first.user);
  second.capIpcLock = false;
  second.rlimitMemlock = fromBigint(2n * LENGTH - 0x1000n);
  rig.must(MAP_MEMFD);
  rig.machine.runAs(second);
  rig.must({ ...MAP_MEMFD, iova: A + 0x20_0000n });
  // The first maps 8 of its 8 pages; the second would be at 16 of 15.
  expect(rig.attach()).toEqual(ENOMEM);
  second.rlimitMemlock = fromBigint(2n * LENGTH);
  rig.machine.runAs(first);
  expect(rig.attach()).toEqual(OK);
  expect([first.user.lockedVm, first.mm.pinnedVm, second.mm.pinnedVm]).toEqual([16, 8, 8]);
  rig.expectAtRest();
});

test('I-78: a buffer is mapped, copied and attached to with a limit of nothing, and nobody is charged', () => {
  const rig = new Limited(0n);
  expect(rig.mapFile()).toEqual(at(A));
  expect(rig.attach()).toEqual(OK);
  expect(rig.mapFile({ iova: A + 0x20_0000n })).toHaveProperty('ok');
  expect(rig.copy(A, 0x4000n, { dst_iova: A + 0x40_0000n })).toHaveProperty('ok');
  expect([rig.charged, rig.pinned()]).toEqual([[0, 0, 0], {}]);
});

test('T-39, T-40: memory of a process that is gone is EFAULT for the first domain, and read back for a second', () => {
  const gone = new Limited(PAGES);
  gone.must(MAP);
  gone.call(exitMmap(gone.machine.mm));
  expect(gone.attach()).toEqual({ err: 'EFAULT' });
  const present = new Limited(PAGES);
  present.must(attach, MAP);
  present.call(exitMmap(present.machine.mm));
  expect(present.hwpt('hwpt')).toEqual(OK);
  expect(present.reach('hwpt')).toEqual(present.reach('dev0'));
});

test.each(['user', 'mm'] as const)(
  'I-77: closing everything gives back every charge to the %s, in any state',
  (mode) => {
    const rig = new Limited(64n, mode);
    rig.must(attach, MAP, MAP_MEMFD, { do: 'ioas_alloc', ctx: 'ctx', as: 'other' });
    rig.copy(A, 0x2000n, { dst: 'other', dst_iova: A });
    rig.must({ ...mapFileOf(), iova: 0x400_0000n });
    rig.memory(false);
    rig.limit(0n);
    expect(rig.charged[2]).toBe(16);
    rig.must({ do: 'iommufd_close', ctx: 'ctx' });
    expect(rig.charged[2]).toBe(16);
    rig.must({ do: 'vfio_close', dev: 'dev0' }, { do: 'vfio_close', dev: 'dev1' });
    expect([rig.charged, rig.pinned()]).toEqual([[0, 0, 0], {}]);
  },
);

describe('RLIMIT_MODE', () => {
  /** A context without any object. */
  function fresh(): { rig: Rig; ctx: ReturnType<Rig['ioas']>['ctx'] } {
    const rig = new Rig();
    rig.must({ do: 'iommufd_open', as: 'fresh' });
    const ctx = [...rig.machine.contexts].find(({ objects }) => objects.length === 0);
    if (ctx === undefined) throw new Error('no context is empty');
    return { rig, ctx };
  }

  test('says what was set: the user at first', () => {
    const { rig, ctx } = fresh();
    const set = (value: typeof ONE): unknown => rig.inTask(() => setRlimitMode(ctx, 0, value));
    expect(getRlimitMode(ctx, 0)).toBe(0);
    expect([set(ONE), getRlimitMode(ctx, 0), ctx.accountMode]).toEqual([undefined, 1, 'mm']);
    expect([set(ZERO), getRlimitMode(ctx, 0), ctx.accountMode]).toEqual([undefined, 0, 'user']);
  });

  test('refuses an object, who may not, a context in use, and another value, in that order', () => {
    const { rig, ctx } = fresh();
    const two = fromBigint(2n);
    const set = (id: number): unknown => rig.inTask(() => setRlimitMode(ctx, id, two));
    expect(getRlimitMode(ctx, 1)).toBe('EOPNOTSUPP');
    rig.machine.process.capSysResource = false;
    rig.must({ do: 'ioas_alloc', ctx: 'fresh', as: 'some' });
    expect([set(1), set(0)]).toEqual(['EOPNOTSUPP', 'EPERM']);
    rig.machine.process.capSysResource = true;
    expect(set(0)).toBe('EBUSY');
    rig.must({ do: 'destroy', obj: 'some' });
    expect([set(0), ctx.accountMode]).toEqual(['EINVAL', 'user']);
  });
});

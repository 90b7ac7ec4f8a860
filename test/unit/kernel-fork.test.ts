/**
 * fork: a child with copies of its parent's mappings, which show the same and go their own ways.
 *
 * Source: vfio-dmabuf 6.9, R25
 */
import { describe, expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import { unmapMappingRange } from '../../impl/kernel/address-space.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { FdTable } from '../../impl/kernel/file.ts';
import { fork, forkMm } from '../../impl/kernel/fork.ts';
import { Lockdep, lockClassId } from '../../impl/kernel/lockdep.ts';
import type { Mm } from '../../impl/kernel/mm.ts';
import { exitMmap, munmap } from '../../impl/kernel/munmap.ts';
import { Process, User } from '../../impl/kernel/process.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, u64 } from '../../impl/kernel/units.ts';
import { splatOf, sweep } from './kernel-rig.ts';
import { MmRig } from './mm-rig.ts';

const MIB2 = 2 ** 9;

/** 2 MiB and two pages of device memory, two pages of a memfd, and memory of its own; all touched. */
class Scene {
  readonly rig = new MmRig();
  readonly device = this.rig.mapped(this.rig.deviceFile, MIB2 + 2);
  readonly memfd = this.rig.mapped(this.rig.memfdFile, 2, 1);
  readonly own: number;

  constructor() {
    const { rig } = this;
    rig.mm.mapAnonymous('m', fromBigint(0x2000n));
    this.own = rig.mm.vmas.at(-1)?.startPage ?? 0;
    for (const page of this.pages) rig.touch(page);
  }

  get pages(): number[] {
    const { startPage: d } = this.device;
    const { startPage: f } = this.memfd;
    return [d, d + MIB2, d + MIB2 + 1, f, f + 1, this.own];
  }

  fork(): Mm {
    const child = this.rig.call(forkMm(this.rig.mm));
    if (isErrno(child)) throw new Error(`fork answers ${child}`);
    this.rig.mms.push(child);
    return child;
  }
}

describe('a forked process', () => {
  test('has every mapping of its parent, with the same flags and treatment, and holds the files, too', () => {
    const { rig, ...scene } = new Scene();
    const child = new Scene().fork();
    expect(child.vmas.length).toBe(3);
    const mm = rig.call(forkMm(rig.mm)) as Mm;
    rig.mms.push(mm);
    expect(rig.vmas(0, mm)).toEqual(rig.vmas(0));
    expect(mm.vmas.map(({ flags, pageProt }) => [[...flags], pageProt])).toEqual(
      rig.mm.vmas.map(({ flags, pageProt }) => [[...flags], pageProt]),
    );
    expect([rig.deviceFile.refs.count, rig.memfdFile.refs.count, rig.audit()]).toEqual([3, 3, []]);
    expect(rig.device.mapping.vmas).toEqual([scene.device, mm.vmas[0]]);
  });

  test('has the entries of device memory, huge ones, too, and faults for what has pages', () => {
    const scene = new Scene();
    const { rig } = scene;
    const child = scene.fork();
    const { startPage } = scene.device;
    expect(rig.leaves(startPage, child)).toEqual([
      [0, 9],
      [MIB2, 0],
      [MIB2 + 1, 0],
    ]);
    expect(scene.pages.map((page) => rig.touch(page, child))).toEqual(scene.pages.map((page) => rig.touch(page)));
    expect(rig.audit()).toEqual([]);
  });

  test('unmaps, cuts and touches for itself alone', () => {
    const scene = new Scene();
    const { rig } = scene;
    const { startPage } = scene.device;
    const child = scene.fork();
    rig.munmap(startPage + 5, 1, child);
    expect([rig.leaves(startPage, child), rig.leaves(startPage).slice(0, 3)]).toEqual([
      [
        [MIB2, 0],
        [MIB2 + 1, 0],
      ],
      [
        [0, 9],
        [MIB2, 0],
        [MIB2 + 1, 0],
      ],
    ]);
    rig.munmap(startPage, MIB2 + 2);
    expect([rig.touch(startPage), rig.touch(startPage, child), rig.touch(startPage + 6, child)]).toEqual([
      'SIGSEGV',
      0,
      6,
    ]);
    expect([rig.deviceFile.refs.count, rig.audit()]).toEqual([3, []]);
  });

  test('maps next where its parent would, and each for itself', () => {
    const scene = new Scene();
    const { rig } = scene;
    const child = scene.fork();
    const [mine, its] = [rig.mapped(rig.memfdFile, 1), rig.mapped(rig.memfdFile, 1, 0, child)];
    expect([its.startPage, its.mm, mine.mm]).toEqual([mine.startPage, child, rig.mm]);
  });

  test('loses its entries with all others when the file takes them back', () => {
    const scene = new Scene();
    const { rig } = scene;
    const [child, second] = [scene.fork(), scene.fork()];
    rig.munmap(scene.device.startPage + 5, 1, second);
    rig.touch(scene.device.startPage + 3, second);
    rig.call(unmapMappingRange(rig.device.mapping, 0, MIB2));
    const { startPage } = scene.device;
    const left = [rig.mm, child, second].map((mm) => mm.pageTable.leaves(startPage, startPage + MIB2 + 1).length);
    expect([left, rig.audit()]).toEqual([[1, 1, 1], []]);
  });

  test('keeps the files until it exits', () => {
    const scene = new Scene();
    const { rig } = scene;
    const child = scene.fork();
    rig.call(exitMmap(rig.mm));
    rig.call(
      (function* (): Thread {
        rig.deviceFile.put();
      })(),
    );
    expect([rig.released, rig.touch(scene.device.startPage, child)]).toEqual([[], 0]);
    rig.call(exitMmap(child));
    expect([rig.released, child.exited, child.vmas, child.pageTable.tables]).toEqual([['device'], true, [], []]);
  });
});

test('fork fails without a trace at each of its allocations', () => {
  const scene = new Scene();
  const { rig } = scene;
  const sites = sweep(
    rig.kernel,
    () => rig.call(forkMm(rig.mm)),
    (answer) => {
      expect(answer).toBe('ENOMEM' satisfies Errno);
      expect([rig.deviceFile.refs.count, rig.memfdFile.refs.count, rig.audit()]).toEqual([2, 2, []]);
      expect(rig.mm.mmapLock.locked).toBe(false);
    },
  );
  expect(sites).toEqual([
    'mm_alloc',
    '__mt_dup',
    'vm_area_dup',
    'pte_alloc',
    'pte_alloc',
    'vm_area_dup',
    'vm_area_dup',
  ]);
});

test('fork copies the descriptors, and who may do what; not what anybody is charged for', () => {
  const rig = new MmRig();
  const fds = new FdTable();
  const parent = new Process('parent', rig.mm, new User('u'));
  parent.capIpcLock = false;
  parent.capSysResource = false;
  parent.rlimitMemlock = u64(5, 0);
  rig.mm.pinnedVm = 3;
  const forked = rig.call(
    (function* () {
      fds.install(rig.deviceFile);
      fds.install(rig.memfdFile);
      fds.close(3);
      return yield* fork(parent, 'child', fds);
    })(),
  );
  if (isErrno(forked)) throw new Error(forked);
  const { name, user, capIpcLock, capSysResource, rlimitMemlock, mm } = forked.process;
  expect([name, user, capIpcLock, capSysResource, rlimitMemlock, mm.pinnedVm]).toEqual([
    'child',
    parent.user,
    false,
    false,
    u64(5, 0),
    0,
  ]);
  expect([forked.fds.lookup(3), forked.fds.lookup(4), rig.memfdFile.refs.count]).toEqual([undefined, rig.memfdFile, 2]);
  rig.call(
    (function* (): Thread {
      forked.fds.closeAll();
    })(),
  );
  expect([forked.fds.size, rig.memfdFile.refs.count, fds.lookup(4)]).toEqual([0, 1, rig.memfdFile]);
  const failing = (): unknown => rig.call(fork(parent, 'child', fds));
  const sites = sweep(rig.kernel, failing, (answer) =>
    expect([answer, rig.memfdFile.refs.count]).toEqual(['ENOMEM', 1]),
  );
  expect(sites).toEqual(['dup_fd', 'mm_alloc', '__mt_dup']);
});

test('a second mmap_lock may be taken inside the first only as a nested one', () => {
  const lock = (name: 'mmap_lock' | 'mmap_lock/nested') => ({ name, classId: lockClassId(name) });
  const lockdep = new Lockdep();
  lockdep.acquire({ name: 'somebody', held: [lock('mmap_lock')] }, lock('mmap_lock/nested'));
  expect(splatOf(() => lockdep.acquire({ name: 'somebody', held: [lock('mmap_lock')] }, lock('mmap_lock')))).toContain(
    'same class',
  );
  expect(
    splatOf(() => lockdep.acquire({ name: 'somebody', held: [lock('mmap_lock/nested')] }, lock('mmap_lock'))),
  ).toContain('against the lock order');
});

describe('in every interleaving of a fork with', () => {
  /** Two pages are touched, which another thread takes. Mappings, and entries, that parent and child have then. */
  function ends(other: (rig: MmRig, page: number) => Thread<unknown>): { found: Set<string>; schedules: number } {
    const found = new Set<string>();
    const schedules = exhaust((choose) => {
      const rig = new MmRig();
      const { startPage } = rig.mapped(rig.deviceFile, 2);
      rig.touch(startPage);
      rig.touch(startPage + 1);
      const branch = (name: string, thread: Thread<unknown>) => {
        const task = new Task(name, rig.kernel);
        return { task, thread: syscall(task, () => thread) };
      };
      const [child] = interleave([branch('fork', forkMm(rig.mm)), branch('other', other(rig, startPage))], choose);
      rig.mms.push(child as Mm);
      const left = rig.mms.map((mm) => `${mm.vmas.length}[${rig.leaves(startPage, mm).map(([page]) => page)}]`);
      found.add(left.join(' '));
      expect(rig.audit()).toEqual([]);
    });
    return { found, schedules };
  }

  test('a zap, no entry is left in either', () => {
    const { found, schedules } = ends((rig) => unmapMappingRange(rig.device.mapping, 0, 1));
    expect([...found]).toEqual(['1[] 1[]']);
    expect(schedules).toBeGreaterThan(20);
  });

  test('a munmap, the child has all of the mapping or nothing', () => {
    const { found } = ends((rig, page) => munmap(rig.mm, u64(page, 0), u64(2, 0)));
    expect([...found].toSorted()).toEqual(['0[] 0[]', '0[] 1[0,1]']);
  });

  test('a munmap of one page, the child has the mapping before or after it', () => {
    const { found } = ends((rig, page) => munmap(rig.mm, u64(page, 0), u64(1, 0)));
    expect([...found].toSorted()).toEqual(['1[1] 1[0,1]', '1[1] 1[1]']);
  });
});

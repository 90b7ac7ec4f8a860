/**
 * Kernel code that is wrong on purpose, in runs in which nobody has to wait: what is waited for without being a lock is
 * ordered with the locks, and so are memory that a copy may fault in and memory that an allocation may reclaim.
 *
 * Source: vfio-dmabuf 4.4, 4.5, 7.1, V-33, V-51; iommufd 4.2, I-04
 */
import { describe, expect, test, vi } from 'vitest';
import { blamed } from '../../explore/blame.ts';
import { following, Interleaving, interleave } from '../../explore/interleave.ts';
import { dynamicAttach } from '../../impl/dmabuf/attachment.ts';
import { Fence } from '../../impl/dmabuf/resv.ts';
import { importerUnmap } from '../../impl/importers/importer.ts';
import { AddressSpace } from '../../impl/kernel/address-space.ts';
import type { LockClass } from '../../impl/kernel/lockdep.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { Rwsem } from '../../impl/kernel/rwsem.ts';
import { Kernel, shouldFail, syscall, Task, type Thread, type WaitPoint } from '../../impl/kernel/thread.ts';
import { Work } from '../../impl/kernel/workqueue.ts';
import { vfioConfigMemory } from '../../impl/vfio/ioctl.ts';
import { unregisterGroupDev } from '../../impl/vfio/registration.ts';
import { ImporterRig } from './importer-rig.ts';
import { splatOf } from './kernel-rig.ts';
import { Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

type Lock = WaitPoint & { release(): void };
/** Both ways into a semaphore, released as mutexes are. */
const way = (into: WaitPoint, release: () => void): Lock => ({
  name: into.name,
  ready: () => into.ready(),
  enter: (task) => into.enter(task),
  holders: () => into.holders?.() ?? [],
  release,
});
const reading = (sem: Rwsem): Lock => way(sem.read, () => sem.releaseRead());
const writing = (sem: Rwsem): Lock => way(sem.write, () => sem.releaseWrite());

function* under<T>(locks: readonly Lock[], inside: () => Thread<T>): Thread<T> {
  for (const lock of locks) yield lock;
  const answer = yield* inside();
  for (const lock of locks.toReversed()) lock.release();
  return answer;
}

function* nothing(): Thread {}
function* doing(what: () => unknown): Thread {
  what();
}
function* waiting(point: WaitPoint): Thread {
  yield point;
}

const mutex = (name: LockClass): Mutex => new Mutex(name, name);

describe('order', () => {
  test('of three locks that three threads take two by two, when nobody waits: who took which', () => {
    const kernel = new Kernel();
    const [a, b, c] = [mutex('iommu_group.mutex'), mutex('staccess.lock'), mutex('ioas_creation_lock')];
    const nested = (name: string, outer: Mutex, inner: Mutex): { task: Task; thread: Thread } => ({
      task: new Task(name, kernel),
      thread: under([outer, inner], nothing),
    });
    const all = [nested('one', a, b), nested('two', b, c), nested('three', c, a)];
    expect(splatOf(() => interleave(all, following([])))).toBe(
      'lockdep: iommu_group.mutex taken while ioas_creation_lock held, against the lock order: ' +
        'iommu_group.mutex ⊃ staccess.lock (one), staccess.lock ⊃ ioas_creation_lock (two)',
    );
  });

  test('of a semaphore that is read while it is read: a writer in between would stop both', () => {
    const rig = new Rig();
    const sem = new Rwsem('s', 'memory_lock');
    expect(splatOf(() => rig.call(under([reading(sem), reading(sem)], nothing)))).toBe(
      'lockdep: s(R) taken while s(R) held: same class',
    );
  });

  test('and nothing is held when a call returns to user space, also when others follow', () => {
    const { kernel } = new Rig();
    const task = new Task('actor', kernel);
    const m = mutex('pages.mutex');
    function* calls(): Thread {
      yield* syscall(task, () => waiting(m));
      yield* syscall(task, nothing);
      m.release();
    }
    expect(splatOf(() => interleave([{ task, thread: calls() }], following([])))).toBe(
      'lockdep: actor ends holding pages.mutex',
    );
  });
});

describe('the drain of a revoke', () => {
  test('is waited for under memory_lock, so a driver that unmaps with it held stops both', () => {
    const it = new ImporterRig();
    const nic = it.mapped('late');
    const wrong = under([writing(it.device.memoryLock)], () => importerUnmap(nic));
    expect(splatOf(() => it.rig.call(wrong))).toBe(
      'lockdep: dev0.dmabuf0 completed while dev0.memory_lock(W), dev0.dmabuf0.resv held, against the lock order: ' +
        'memory_lock ⊃ drain (documented)',
    );
  });

  test('and mmap_lock is above that, so a driver does not unmap with it held, either', () => {
    const it = new ImporterRig();
    const nic = it.mapped('late');
    const wrong = under([reading(new Rwsem('mmap_lock', 'mmap_lock'))], () => importerUnmap(nic));
    expect(splatOf(() => it.rig.call(wrong))).toMatch(
      'mmap_lock ⊃ memory_lock (documented), memory_lock ⊃ drain (documented)',
    );
  });

  test('is not waited for with the reservation lock held, which an unmap needs', () => {
    const it = new ImporterRig();
    const { comp, dmabuf } = it.buffer.priv;
    comp.complete();
    expect(splatOf(() => it.rig.call(under([dmabuf.resv], () => waiting(comp))))).toBe(
      'lockdep: dev0.dmabuf0 waited for while dev0.dmabuf0.resv held, against the lock order: ' +
        'drain ⊃ dma_resv (documented)',
    );
  });

  test('waits in a circle when a driver wants memory_lock before it unmaps: a deadlock, not a slow driver', () => {
    const it = new ImporterRig();
    const nic = it.mapped('prompt', 'nic');
    const { kernel } = it.rig;
    const worker = new Work('worker', () => under([writing(it.device.memoryLock)], () => importerUnmap(nic)));
    worker.arm();
    Object.assign(nic.attachment?.importerOps ?? {}, { unmappers: () => worker.holders() });
    const all = new Interleaving<unknown>([
      { task: new Task('off', kernel), thread: vfioConfigMemory(it.device, false) },
      { task: new Task('driver', kernel), thread: worker.thread() },
    ]);
    all.go(following([]));
    expect(blamed(all.waiting)).toEqual([
      {
        verdict: 'deadlock',
        line:
          'off waits for dev0.dmabuf0, which is up to driver, which waits for dev0.memory_lock(W), held by off, ' +
          'which waits for itself: a deadlock',
      },
      {
        verdict: 'deadlock',
        line:
          'driver waits for dev0.memory_lock(W), held by off, which waits for dev0.dmabuf0, which is up to driver, ' +
          'which waits for itself: a deadlock',
      },
    ]);
  });
});

test('V-51: a fence is not signaled with the reservation lock held, under which it is waited for', () => {
  const it = new ImporterRig();
  const wrong = (): Thread => doing(() => new Fence('f', 1, 1).signal());
  expect(splatOf(() => it.rig.call(under([it.buffer.dmabuf.resv], wrong)))).toBe(
    'lockdep: fence f completed while dev0.dmabuf0.resv held, against the lock order: ' +
      'dma_resv ⊃ dma_fence (documented)',
  );
});

test('work is not waited for with a lock held that it takes, even where it is not under way', () => {
  const rig = new Rig();
  const m = mutex('staccess.lock');
  const work = new Work('work', () => under([m], nothing));
  rig.call(work.thread());
  expect(splatOf(() => rig.call(under([m], () => waiting(work))))).toBe(
    'lockdep: work waited for while staccess.lock held, against the lock order: work ⊃ staccess.lock (caller)',
  );
});

test('the last user of a device is not waited for under dev_set->lock, which a close takes', () => {
  const rig = new Rig();
  const device = rig.opened();
  rig.close(device);
  expect(splatOf(() => rig.call(under([device.devSet.lock], () => unregisterGroupDev(device))))).toMatch(
    'unregistration of dev0 waited for while bus1.lock held, against the lock order',
  );
});

describe('the callback of a revoke', () => {
  test.each<[LockClass]>([['domains_rwsem'], ['iova_rwsem'], ['ioas.mutex'], ['igroup.lock'], ['mmap_lock']])(
    'takes no %s, whoever else has it',
    (name) => {
      const it = new ImporterRig();
      const sem = new Rwsem(name, name);
      const ops = { allowPeer2peer: true, invalidateMappings: () => under([writing(sem)], nothing) };
      it.rig.call(dynamicAttach(it.buffer.dmabuf, { name: 'wrong' }, ops, undefined));
      expect(splatOf(() => it.rig.call(vfioConfigMemory(it.device, false)))).toMatch(
        `lockdep: ${name}(W) taken while dev0.memory_lock(W), dev0.dmabuf0.resv held, against the lock order`,
      );
    },
  );
});

describe('memory', () => {
  test('of a process is not copied under memory_lock: a fault takes both the other way round', () => {
    const rig = new Rig();
    const wrong = (): Thread => doing(() => shouldFail('copy_from_user'));
    expect(splatOf(() => rig.call(under([writing(rig.device().memoryLock)], wrong)))).toBe(
      'lockdep: copy_from_user waited for while dev0.memory_lock(W) held, against the lock order: ' +
        'mmap_lock ⊃ memory_lock (documented)',
    );
  });

  test('is not allocated under i_mmap_rwsem, which reclaim takes', () => {
    const { iMmapRwsem } = new AddressSpace('file');
    const wrong = (): Thread => doing(() => shouldFail('vm_area_alloc'));
    expect(splatOf(() => new Rig().call(under([writing(iMmapRwsem)], wrong)))).toBe(
      'lockdep: vm_area_alloc waited for while file.i_mmap_rwsem(W) held, against the lock order: ' +
        'fs_reclaim ⊃ i_mmap_rwsem (documented)',
    );
  });
});

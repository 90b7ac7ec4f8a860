/** The order of locks: as documented, as learned, and what no circle would show. Source: iommufd 4.2, I-88, I-89 */
import { describe, expect, test } from 'vitest';
import { LOCK_CLASSES, type LockClass, Lockdep, lockClassId } from '../../impl/kernel/lockdep.ts';
import { Kernel } from '../../impl/kernel/thread.ts';
import { splatOf } from './kernel-rig.ts';

const lock = (name: LockClass): { name: string; classId: number } => ({ name, classId: lockClassId(name) });

/** Take the locks one inside the other. */
function nest(lockdep: Lockdep, ...names: LockClass[]): void {
  for (const [i, name] of names.entries())
    lockdep.acquire({ name: 'somebody', held: names.slice(0, i).map(lock) }, lock(name));
}

describe('is allowed', () => {
  // The chains of 4.2, each as one nesting.
  test.each<[chain: LockClass[]]>([
    [['dev_set.lock', 'ioas.mutex', 'igroup.lock', 'iommu_group.mutex']],
    [['ioas.mutex', 'domains_rwsem', 'iova_rwsem', 'pages.mutex', 'mmap_lock']],
    [['igroup.lock', 'iova_rwsem']],
    [['staccess.lock', 'access.ioas_lock', 'domains_rwsem', 'iova_rwsem', 'pages.mutex']],
    [['dev_set.lock', 'memory_lock', 'dma_resv', 'pages.mutex/dmabuf']],
    [['domains_rwsem', 'dma_resv']],
    [['ioas_creation_lock', 'iova_rwsem']],
    [['mmap_lock', 'memory_lock', 'dma_resv']],
    // And of vfio-dmabuf 7.1: a zap, and what reclaim may take under dma_resv.
    [['mmap_lock', 'memory_lock', 'i_mmap_rwsem']],
    [['mmap_lock', 'dma_resv', 'i_mmap_rwsem']],
  ])('%j', ([...chain]) => {
    const lockdep = new Lockdep();
    expect(() => nest(lockdep, ...chain)).not.toThrow();
    // One after the other is no nesting.
    for (const name of chain.toReversed())
      expect(() => lockdep.acquire({ name: 'somebody', held: [] }, lock(name))).not.toThrow();
  });
});

test('several of a class may be taken under the lock that makes that safe, and without it only one', () => {
  const lockdep = new Lockdep();
  expect(() => nest(lockdep, 'ioas_creation_lock', 'iova_rwsem', 'iova_rwsem', 'iova_rwsem')).not.toThrow();
  // Nothing is learned of it that would forbid one alone.
  expect(() => nest(lockdep, 'domains_rwsem', 'iova_rwsem', 'pages.mutex')).not.toThrow();
  for (const chain of [
    ['iova_rwsem', 'iova_rwsem'],
    ['ioas_creation_lock', 'pages.mutex', 'pages.mutex'],
  ] as const)
    expect(splatOf(() => nest(new Lockdep(), ...chain))).toMatch(/same class$/);
});

describe('is forbidden, in any run and whoever waits', () => {
  test.each<[held: LockClass, taken: LockClass]>([
    ['pages.mutex', 'dma_resv'],
    ['pages.mutex/dmabuf', 'dma_resv'],
    ['iova_rwsem', 'dma_resv'],
    ['pages.mutex', 'domains_rwsem'],
    ['pages.mutex', 'iova_rwsem'],
    ['pages.mutex', 'ioas.mutex'],
    ['pages.mutex/dmabuf', 'domains_rwsem'],
    ['pages.mutex/dmabuf', 'iova_rwsem'],
    ['pages.mutex/dmabuf', 'ioas.mutex'],
    ['pages.mutex/dmabuf', 'mmap_lock'],
    ['iova_rwsem', 'domains_rwsem'],
    ['dma_resv', 'memory_lock'],
    ['memory_lock', 'mmap_lock'],
    ['i_mmap_rwsem', 'memory_lock'],
    ['i_mmap_rwsem', 'mmap_lock'],
    ['dma_resv', 'domains_rwsem'],
    ['igroup.lock', 'ioas.mutex'],
    ['memory_lock', 'dev_set.lock'],
    ['iommu_group.mutex', 'dev_set.lock'],
    // In the callback of a revoke.
    ['dma_resv', 'ioas.mutex'],
    ['dma_resv', 'iova_rwsem'],
    ['dma_resv', 'igroup.lock'],
    ['dma_resv', 'access.ioas_lock'],
    ['dma_resv', 'ioas_creation_lock'],
    ['dma_resv', 'mmap_lock'],
  ])('%s ⊃ %s', (held, taken) => {
    expect(splatOf(() => nest(new Lockdep(), held, taken))).toContain(
      `lockdep: ${taken} taken while ${held} held, against the lock order`,
    );
  });

  test.each(LOCK_CLASSES)('%s ⊃ another of the same class', (name) => {
    expect(splatOf(() => nest(new Lockdep(), name, name))).toBe(
      `lockdep: ${name} taken while ${name} held: same class`,
    );
  });

  test('a lock that is forbidden below one further out', () => {
    expect(splatOf(() => nest(new Lockdep(), 'iova_rwsem', 'iommu_group.mutex', 'dma_resv'))).toBe(
      'lockdep: dma_resv taken while iova_rwsem, iommu_group.mutex held, against the lock order',
    );
  });
});

describe('a nesting is learned', () => {
  test('from the first time that it is seen, and its reverse refused', () => {
    const lockdep = new Lockdep();
    nest(lockdep, 'iommu_group.mutex', 'access.ioas_lock');
    expect(splatOf(() => nest(lockdep, 'access.ioas_lock', 'iommu_group.mutex'))).toBe(
      'lockdep: iommu_group.mutex taken while access.ioas_lock held, against the lock order: ' +
        'iommu_group.mutex ⊃ access.ioas_lock (somebody)',
    );
  });

  test('with all that is known to lie below, so that a longer circle is refused, too', () => {
    const lockdep = new Lockdep();
    nest(lockdep, 'iommu_group.mutex', 'access.ioas_lock');
    for (const [held, taken] of [
      ['mmap_lock', 'iommu_group.mutex'], // Which is below access.ioas_lock.
      ['access.ioas_lock', 'igroup.lock'], // Which is above iommu_group.mutex.
      ['dma_resv', 'dev_set.lock'], // Both.
    ] as const) {
      expect(splatOf(() => nest(lockdep, held, taken))).toContain(
        `lockdep: ${taken} taken while ${held} held, against the lock order: `,
      );
    }
  });

  test('by one kernel, and not by the next', () => {
    nest(new Kernel().lockdep, 'iommu_group.mutex', 'access.ioas_lock');
    expect(() => nest(new Kernel().lockdep, 'access.ioas_lock', 'iommu_group.mutex')).not.toThrow();
  });
});

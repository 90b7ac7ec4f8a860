/**
 * Lock classes and their order. The graph starts with the documented order, learns every nesting that it sees, and
 * splats at the first acquisition that would close a circle, whether or not anybody deadlocks in this run. It is on
 * under every driver. One graph belongs to one kernel, so a trace's verdict never hangs on what ran before it.
 *
 * Source: iommufd 4.2 and vfio-dmabuf 7.1.
 */
import { Splat } from './splat.ts';

export const LOCK_CLASSES = [
  'staccess.lock',
  'dev_set.lock',
  'ioas.mutex',
  'igroup.lock',
  'vfio_iommu.lock',
  'iommu_group.mutex',
  'ioas_creation_lock',
  'access.ioas_lock',
  'domains_rwsem',
  'iova_rwsem',
  'pages.mutex',
  'pages.mutex/dmabuf',
  'mmap_lock',
  'mmap_lock/nested',
  'memory_lock',
  'dma_resv',
  'i_mmap_rwsem',
] as const;

export type LockClass = (typeof LOCK_CLASSES)[number];

/** Outer before inner, as documented; what follows from these by transitivity need not stand here. */
const DOCUMENTED_ORDER: readonly (readonly [outer: LockClass, inner: LockClass])[] = [
  ['dev_set.lock', 'ioas.mutex'],
  ['dev_set.lock', 'memory_lock'],
  ['ioas.mutex', 'igroup.lock'],
  ['ioas.mutex', 'domains_rwsem'],
  ['igroup.lock', 'iommu_group.mutex'],
  ['igroup.lock', 'iova_rwsem'],
  ['vfio_iommu.lock', 'iommu_group.mutex'],
  ['vfio_iommu.lock', 'mmap_lock'],
  ['staccess.lock', 'access.ioas_lock'],
  ['access.ioas_lock', 'domains_rwsem'],
  ['ioas_creation_lock', 'iova_rwsem'],
  ['domains_rwsem', 'iova_rwsem'],
  ['iova_rwsem', 'pages.mutex'],
  ['iova_rwsem', 'pages.mutex/dmabuf'],
  ['pages.mutex', 'mmap_lock'],
  ['mmap_lock', 'mmap_lock/nested'],
  ['mmap_lock/nested', 'i_mmap_rwsem'],
  ['mmap_lock', 'dma_resv'],
  ['mmap_lock', 'memory_lock'],
  ['memory_lock', 'dma_resv'],
  ['domains_rwsem', 'dma_resv'],
  ['dma_resv', 'pages.mutex/dmabuf'],
  ['dma_resv', 'i_mmap_rwsem'],
  ['memory_lock', 'i_mmap_rwsem'],
];

/** Nestings that no circle would show, and that are forbidden all the same. */
const FORBIDDEN: readonly (readonly [held: LockClass, taken: LockClass])[] = [
  ['iova_rwsem', 'dma_resv'],
  ['pages.mutex', 'dma_resv'],
  ['pages.mutex/dmabuf', 'mmap_lock'],
];

/** down_write_nest_lock(): who holds `under` may take several of this class; nobody else does. */
const NESTED: readonly (readonly [taken: LockClass, under: LockClass])[] = [['iova_rwsem', 'ioas_creation_lock']];

const classIndex = new Map<LockClass, number>(LOCK_CLASSES.map((name, index) => [name, index]));

/** A lock as lockdep sees it. */
export interface HeldLock {
  readonly name: string;
  readonly classId: number;
  /** What holding it touches, as `footprint.ts` writes it. */
  readonly footprint?: number;
}

export function lockClassId(name: LockClass): number {
  return classIndex.get(name) as number;
}

/** `inner[c]`: a bit for every class that has been, or may be, taken somewhere below `c`. Closed under transitivity. */
function documentedGraph(): number[] {
  const inner = LOCK_CLASSES.map(() => 0);
  for (const [a, b] of DOCUMENTED_ORDER) learn(inner, lockClassId(a), lockClassId(b));
  return inner;
}

function learn(inner: number[], a: number, b: number): void {
  const below = (inner[b] as number) | (1 << b);
  for (let c = 0; c < inner.length; c++) {
    if (c === a || ((inner[c] as number) >> a) & 1) inner[c] = (inner[c] as number) | below;
  }
}

const SEED: readonly number[] = documentedGraph();
const forbiddenBelow: readonly number[] = LOCK_CLASSES.map((held) =>
  FORBIDDEN.filter(([h]) => h === held).reduce((bits, [, taken]) => bits | (1 << lockClassId(taken)), 0),
);

const nests = (held: readonly HeldLock[], taken: number): boolean =>
  NESTED.some(([name, under]) => lockClassId(name) === taken && held.some((l) => l.classId === lockClassId(under)));

/** The order graph of one kernel. */
export class Lockdep {
  readonly #inner: number[] = [...SEED];
  /** Ghost: how many locks were taken. */
  acquisitions = 0;

  /** Check and remember that `lock` is about to be taken by one who holds `held`. Fails with a lockdep Splat. */
  acquire(held: readonly HeldLock[], lock: HeldLock): void {
    this.acquisitions++;
    const taken = lock.classId;
    const below = this.#inner[taken] as number;
    for (let i = 0; i < held.length; i++) {
      const outer = (held[i] as HeldLock).classId;
      if (outer === taken) {
        if (nests(held, taken)) continue;
        throw new Splat('lockdep', `${lock.name} taken while ${this.#names(held)} held: same class`);
      }
      if ((below >> outer) & 1 || ((forbiddenBelow[outer] as number) >> taken) & 1) {
        throw new Splat('lockdep', `${lock.name} taken while ${this.#names(held)} held, against the lock order`);
      }
      if ((((this.#inner[outer] as number) >> taken) & 1) === 0) learn(this.#inner, outer, taken);
    }
  }

  #names(held: readonly HeldLock[]): string {
    return held.map((lock) => lock.name).join(', ');
  }
}

/**
 * Lock classes and their order. The graph starts with the documented order, learns every nesting that it sees, and
 * splats at the first acquisition that would close a circle, whether or not anybody deadlocks in this run. It is on
 * under every driver. One graph belongs to one kernel, so a trace's verdict never hangs on what ran before it.
 *
 * What is no lock, but is waited for, has a class, too: it lies below all that is held by whoever waits, and what is
 * held by whoever ends the wait lies below it in turn. So a wait under a lock that the other needs closes a circle.
 *
 * Source: iommufd 4.2; vfio-dmabuf 4.4, 4.5, 7.1
 */
import { Splat } from './splat.ts';

/** What is waited for: the end of a drain, fences, work, the last user of a device; and memory that is reclaimed. */
export const WAIT_CLASSES = ['drain', 'dma_fence', 'work', 'registration', 'fs_reclaim'] as const;

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

export type WaitClass = (typeof WAIT_CLASSES)[number];
export type LockClass = (typeof LOCK_CLASSES)[number] | WaitClass;

const CLASSES: readonly LockClass[] = [...LOCK_CLASSES, ...WAIT_CLASSES];

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
  // A revoke waits for fences with the reservation lock held, and for unmaps, which need that lock, without it.
  ['dma_resv', 'dma_fence'],
  ['memory_lock', 'drain'],
  ['drain', 'dma_resv'],
  // The last buffer of a device may go in its close.
  ['registration', 'dev_set.lock'],
  ['dma_resv', 'fs_reclaim'],
  ['fs_reclaim', 'i_mmap_rwsem'],
];

/** Nestings that no circle would show, and that are forbidden all the same. */
const FORBIDDEN: readonly (readonly [held: LockClass, taken: LockClass])[] = [
  ['iova_rwsem', 'dma_resv'],
  ['pages.mutex', 'dma_resv'],
  ['pages.mutex/dmabuf', 'mmap_lock'],
  // No lock of an IOAS in the callback of a revoke.
  ['dma_resv', 'iova_rwsem'],
  ['dma_resv', 'igroup.lock'],
  ['dma_resv', 'ioas_creation_lock'],
];

/** down_write_nest_lock(): who holds `under` may take several of this class; nobody else does. */
const NESTED: readonly (readonly [taken: LockClass, under: LockClass])[] = [['iova_rwsem', 'ioas_creation_lock']];

const classIndex = new Map<LockClass, number>(CLASSES.map((name, index) => [name, index]));

/** Who takes or waits: a task. */
export interface Holder {
  readonly name: string;
  readonly held: readonly HeldLock[];
}

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
  const inner = CLASSES.map(() => 0);
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
const forbiddenBelow: readonly number[] = CLASSES.map((held) =>
  FORBIDDEN.filter(([h]) => h === held).reduce((bits, [, taken]) => bits | (1 << lockClassId(taken)), 0),
);

const nests = (held: readonly HeldLock[], taken: number): boolean =>
  NESTED.some(([name, under]) => lockClassId(name) === taken && held.some((l) => l.classId === lockClassId(under)));

/** Who was the first to nest one class in another. */
type Edges = Map<number, string>;
const edge = (outer: number, inner: number): number => outer * CLASSES.length + inner;
const DOCUMENTED: ReadonlyMap<number, string> = new Map(
  DOCUMENTED_ORDER.map(([outer, inner]) => [edge(lockClassId(outer), lockClassId(inner)), 'documented']),
);

const WORK = lockClassId('work');

/** What is taken to map and to unmap. Under these alone change areas and pages objects, which tell of it themselves. */
const OF_AREAS = (
  ['domains_rwsem', 'iova_rwsem', 'pages.mutex', 'pages.mutex/dmabuf', 'mmap_lock', 'dma_resv'] as const
).reduce((bits, name) => bits | (1 << lockClassId(name)), 0);

/** The order graph of one kernel. */
export class Lockdep {
  readonly #inner: number[] = [...SEED];
  /** What it has learned, and of whom. */
  readonly #learned: Edges = new Map();
  /** Ghost: how many locks were taken, and how many of them may change who holds what. */
  acquisitions = 0;
  others = 0;

  /** Ghost: count it. */
  taken({ classId }: HeldLock): void {
    this.acquisitions++;
    if (((OF_AREAS >> classId) & 1) === 0) this.others++;
  }

  /** Check and remember that `lock` is about to be taken by one who holds `held`. Fails with a lockdep Splat. */
  acquire({ held, name: by }: Holder, lock: HeldLock): void {
    const taken = lock.classId;
    this.taken(lock);
    const below = this.#inner[taken] as number;
    for (let i = 0; i < held.length; i++) {
      const outer = (held[i] as HeldLock).classId;
      if (outer === taken) {
        if (nests(held, taken)) continue;
        throw new Splat('lockdep', `${lock.name} taken while ${namesOf(held)} held: same class`);
      }
      if ((below >> outer) & 1 || ((forbiddenBelow[outer] as number) >> taken) & 1) {
        const why = this.#why(taken, outer);
        throw new Splat('lockdep', `${lock.name} taken while ${namesOf(held)} held, against the lock order${why}`);
      }
      if ((((this.#inner[outer] as number) >> taken) & 1) === 0) this.#learn(outer, taken, by);
    }
  }

  /** The same of what is no lock: it is waited for, or might be, and not held. Fails with a lockdep Splat. */
  wait({ held, name: by }: Holder, waited: number, name: string): void {
    for (let i = 0; i < held.length; i++) {
      const outer = (held[i] as HeldLock).classId;
      if (this.#allows(outer, waited, by)) continue;
      const why = this.#why(waited, outer);
      throw new Splat('lockdep', `${name} waited for while ${namesOf(held)} held, against the lock order${why}`);
    }
  }

  /** A wait ends: nobody may wait for it with what is held now. Fails with a lockdep Splat. */
  complete({ held, name: by }: Holder, waited: number, name: string): void {
    for (let i = 0; i < held.length; i++) {
      const { classId } = held[i] as HeldLock;
      // A worker may go on to what its work still takes when the wait has ended.
      if (classId === WORK || this.#allows(waited, classId, by)) continue;
      const why = this.#why(classId, waited);
      throw new Splat('lockdep', `${name} completed while ${namesOf(held)} held, against the lock order${why}`);
    }
  }

  /** Whether one class may be nested in another; from now on nobody does the reverse. */
  #allows(outer: number, inner: number, by: string): boolean {
    if (((this.#inner[inner] as number) >> outer) & 1 || ((forbiddenBelow[outer] as number) >> inner) & 1) return false;
    if ((((this.#inner[outer] as number) >> inner) & 1) === 0) this.#learn(outer, inner, by);
    return true;
  }

  #learn(outer: number, inner: number, by: string): void {
    learn(this.#inner, outer, inner);
    this.#learned.set(edge(outer, inner), by);
  }

  /** How `from` leads down to `to`, step by step; nothing where no circle forbids the reverse. */
  #why(from: number, to: number): string {
    const before = new Map<number, number>([[from, from]]);
    for (const at of before.keys()) {
      for (let next = 0; next < CLASSES.length; next++)
        if (!before.has(next) && this.#by(at, next) !== undefined) before.set(next, at);
    }
    if (!before.has(to)) return '';
    const steps: string[] = [];
    for (let at = to; at !== from; at = before.get(at) as number) {
      const outer = before.get(at) as number;
      steps.unshift(`${CLASSES[outer]} ⊃ ${CLASSES[at]} (${this.#by(outer, at)})`);
    }
    return `: ${steps.join(', ')}`;
  }

  #by(outer: number, inner: number): string | undefined {
    return DOCUMENTED.get(edge(outer, inner)) ?? this.#learned.get(edge(outer, inner));
  }
}

const namesOf = (held: readonly HeldLock[]): string => held.map((lock) => lock.name).join(', ');

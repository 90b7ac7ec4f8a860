/**
 * `dma_resv`: a buffer's reservation lock, and the fences of the work that still uses the buffer. Fences are added
 * under the lock and signaled without it, so whoever holds the lock may wait for them.
 */

import type { Errno } from '../kernel/errno.ts';
import { LOCKLESS, touches } from '../kernel/footprint.ts';
import { lockClassId } from '../kernel/lockdep.ts';
import { assertHeld, Mutex } from '../kernel/mutex.ts';
import { Splat, warnOn } from '../kernel/splat.ts';
import { running, shouldFail, type Task, type Thread, type WaitPoint } from '../kernel/thread.ts';

/** `dma_resv_usage`: to ask for one usage is to ask for all the smaller ones too, so BOOKKEEP means every fence. */
export const USAGE = { KERNEL: 0, WRITE: 1, READ: 2, BOOKKEEP: 3 } as const;
export type Usage = (typeof USAGE)[keyof typeof USAGE];
const USAGE_NAMES = Object.keys(USAGE);

const DMA_FENCE = lockClassId('dma_fence');

/** `dma_fence`: work in flight. Fences of one context signal in the order of their `seqno`. */
export class Fence {
  readonly name: string;
  readonly context: number;
  readonly seqno: number;
  /** Ghost, for whoever tells of a deadlock: the thread that is about to signal it. Else a device does. */
  signaler: Task | undefined;
  #signaled = false;

  constructor(name: string, context: number, seqno: number) {
    this.name = name;
    this.context = context;
    this.seqno = seqno;
  }

  get signaled(): boolean {
    return this.#signaled;
  }

  /** `dma_fence_signal()`. Locks: none; a waiter may hold the reservation lock. */
  signal(): void {
    touches(LOCKLESS);
    const task = running();
    if (task !== undefined) task.kernel.lockdep.complete(task, DMA_FENCE, `fence ${this.name}`);
    this.#signaled = true;
  }
}

interface Entry {
  readonly fence: Fence;
  readonly usage: Usage;
}

/** `yield` it to take the lock: a ww_mutex in the kernel, but nobody here ever holds two. */
export class Resv extends Mutex {
  /** Added to under the lock. */
  readonly #fences: Entry[] = [];
  /** Slots made ready by `reserveFences`. Protected by the lock, and gone with it. */
  #reserved = 0;

  constructor(name: string) {
    super(name, 'dma_resv');
  }

  /**
   * `dma_resv_reserve_fences()`: make room for `count` fences, so that adding them cannot fail. The room is gone with
   * the lock.
   * Locks: caller holds the lock
   * Fails: ENOMEM
   */
  reserveFences(count: number): Errno | undefined {
    assertHeld(this);
    warnOn(count <= 0, `${this.name}: room for ${count} fences`);
    if (shouldFail('dma_resv_reserve_fences')) return 'ENOMEM';
    if (this.#reserved < count) this.#reserved = count;
    return undefined;
  }

  /**
   * `dma_resv_add_fence()`: takes the place of a fence that is signaled, or that it outlives; else it needs a reserved
   * slot.
   * Locks: caller holds the lock
   * Fails: a Splat without a slot
   */
  addFence(fence: Fence, usage: Usage): void {
    assertHeld(this);
    for (let i = 0; i < this.#fences.length; i++) {
      if (!replaceable(this.#fences[i]!, fence, usage)) continue;
      this.#fences[i] = { fence, usage };
      return;
    }
    if (this.#reserved === 0) throw new Splat('WARN', `${this.name}: no slot reserved for fence ${fence.name}`);
    this.#reserved--;
    this.#fences.push({ fence, usage });
  }

  /** `dma_resv_test_signaled()`: whether every fence of this usage or a smaller one is signaled. */
  testSignaled(usage: Usage): boolean {
    return this.firstPending(usage) === undefined;
  }

  /** What `yield` sleeps on until `testSignaled(usage)`. */
  fencesSignaled(usage: Usage): WaitPoint {
    return new FenceWait(this, usage);
  }

  /** `dma_resv_wait_timeout()` without a timeout. Locks: none, or the lock itself, with which no fence is added. */
  *wait(usage: Usage): Thread {
    if (!this.testSignaled(usage)) yield this.fencesSignaled(usage);
  }

  /** All fences that a wait for `usage` waits for, with their own usages, oldest slot first. */
  pending(usage: Usage): string[] {
    const pending = this.#fences.filter((entry) => entry.usage <= usage && !entry.fence.signaled);
    return pending.map(({ fence, usage: own }) => `fence ${fence.name} (${USAGE_NAMES[own]})`);
  }

  /** A fence that a wait for `usage` would wait for. */
  firstPending(usage: Usage): Fence | undefined {
    for (let i = 0; i < this.#fences.length; i++) {
      const entry = this.#fences[i]!;
      if (entry.usage <= usage && !entry.fence.signaled) return entry.fence;
    }
    return undefined;
  }

  /** `dma_resv_unlock()`, with `dma_resv_reset_max_fences()` as a debug kernel does it. */
  override release(): void {
    this.#reserved = 0;
    super.release();
  }
}

/** `dma_resv_add_fence()`'s rule: the old fence is done, or the new one of the same context covers it. */
function replaceable(old: Entry, fence: Fence, usage: Usage): boolean {
  if (old.fence.signaled) return true;
  return old.fence.context === fence.context && old.usage >= usage && old.fence.seqno <= fence.seqno;
}

class FenceWait implements WaitPoint {
  readonly name: string;
  readonly #resv: Resv;
  readonly #usage: Usage;

  constructor(resv: Resv, usage: Usage) {
    this.name = `${resv.name} fences`;
    this.#resv = resv;
    this.#usage = usage;
  }

  ready(): boolean {
    return this.#resv.testSignaled(this.#usage);
  }

  enter(task: Task): void {
    task.kernel.lockdep.wait(task, DMA_FENCE, this.name);
  }

  /** Devices signal, unless somebody is about to. */
  get outside(): boolean {
    return !this.ready();
  }

  holders(): readonly Task[] {
    const task = this.#resv.firstPending(this.#usage)?.signaler;
    return task === undefined ? [] : [task];
  }

  blockedBy(): string {
    return this.#resv.pending(this.#usage).join(', ') || 'fence none';
  }
}

/**
 * Every outcome, but of the orders that only swap steps of no concern to each other just one: depth first, with sleep
 * sets. After a thread's step has been followed to all its ends, that thread sleeps while the others go first, until a
 * step touches what it touched; a run in which all who are ready sleep is given up. What a step touches is the locks
 * that its thread has meanwhile, and what `impl/kernel/footprint.ts` is told.
 *
 * Source: Godefroid: Partial-Order Methods for the Verification of Concurrent Systems, LNCS 1032, chapter 5
 */
import { LOCKLESS, newNumbering, record, swapNumbering, WORLD, written } from '../impl/kernel/footprint.ts';
import { NotDeterministic } from './exhaustive.ts';
import type { Choose, Situation } from './interleave.ts';
import { Pruned, type Strategy } from './strategy.ts';

/** Numbers as `read` and `written` make them. */
type Footprint = readonly number[];

/** A place at which somebody was chosen, and what is known of the steps from there. */
interface Node {
  readonly ready: readonly number[];
  /** By branch: where the step of each has been followed already, what it touched. */
  readonly asleep: Map<number, Footprint>;
  branch: number;
  /** Of the step of `branch`. */
  footprint: number[];
}

/** Objects that one thread makes. */
const NUMBERS = 2 ** 16;
const GIVEN_UP = new Pruned('all who are ready sleep');

export class Reduced implements Strategy {
  readonly name = 'reduced';
  readonly #path: Node[] = [];
  #depth = 0;
  #runs = 0;
  #at: Situation | undefined;
  #givenUp = false;
  /** By branch: what its next object is numbered. */
  readonly #numbers: number[] = [];

  begin(): boolean {
    if (this.#runs++ > 0) {
      this.#end();
      if (!this.#advance()) return false;
    }
    this.#depth = 0;
    this.#at = undefined;
    this.#givenUp = false;
    this.#numbers.length = 0;
    newNumbering();
    return true;
  }

  readonly choose: Choose = (queueLength, at) => {
    this.#at = at;
    if (this.#depth > 0) this.#stepped(at);
    if (this.#depth === this.#path.length) this.#path.push(this.#nodeFor(queueLength, at));
    const node = this.#path[this.#depth++] as Node;
    const place = at.queue.indexOf(node.branch);
    if (queueLength !== node.ready.length || place < 0 || place >= queueLength) {
      throw new NotDeterministic(`branch ${node.branch} was ready for step ${this.#depth}, and others are now`);
    }
    const next = swapNumbering(0);
    if (at.last >= 0) this.#numbers[at.last] = next;
    swapNumbering(this.#numbers[node.branch] ?? (node.branch + 1) * NUMBERS);
    // What the steps of the path's beginning touch is known.
    if (this.#depth >= this.#path.length) node.footprint = startOf(at, node.branch);
    record(this.#depth >= this.#path.length ? node.footprint : undefined);
    return place;
  };

  /** The last step is done. Whoever returns to user space gives names to what he got. */
  #stepped({ runs, last }: Situation): void {
    record(undefined);
    if (this.#depth < this.#path.length) return;
    const { footprint } = this.#path[this.#depth - 1] as Node;
    if (runs[last]?.ended === true) footprint.push(written(LOCKLESS));
  }

  #nodeFor(queueLength: number, { queue }: Situation): Node {
    const ready = queue.slice(0, queueLength);
    const asleep = new Map<number, Footprint>();
    const before = this.#path.at(-1);
    for (const [branch, footprint] of before?.asleep ?? []) {
      if (independent(footprint, before?.footprint ?? [])) asleep.set(branch, footprint);
    }
    const branch = ready.find((each) => !asleep.has(each));
    if (branch === undefined) {
      this.#givenUp = true;
      throw GIVEN_UP;
    }
    return { ready, asleep, branch, footprint: [] };
  }

  /** A run that did not come to the end of all its threads may have failed in the middle of a step. */
  #end(): void {
    record(undefined);
    const node = this.#path[this.#depth - 1];
    if (this.#givenUp || node === undefined || this.#at === undefined || this.#depth < this.#path.length) return;
    this.#stepped(this.#at);
    if (!this.#at.runs.every(({ ended }) => ended)) node.footprint.push(written(WORLD));
  }

  /** To the next path: the last node from which anybody is awake who was not followed. */
  #advance(): boolean {
    for (let node = this.#path.at(-1); node !== undefined; node = this.#path.at(-1)) {
      const { asleep } = node;
      asleep.set(node.branch, node.footprint);
      const branch = node.ready.find((each) => !asleep.has(each));
      if (branch !== undefined) {
        node.branch = branch;
        return true;
      }
      this.#path.pop();
    }
    return false;
  }
}

/** The locks that the thread has already, and what it waits for. */
function startOf({ runs }: Situation, branch: number): number[] {
  const run = runs[branch];
  const footprint = [run?.wants?.footprint ?? written(WORLD)];
  for (const lock of run?.task.held ?? []) footprint.push(lock.footprint ?? written(WORLD));
  return footprint;
}

/** Whether two steps, one after the other, do the same in either order. */
export function independent(a: Footprint, b: Footprint): boolean {
  for (const each of a) {
    if (each === WORLD_TOUCHED) return false;
    for (const other of b) {
      if (other === WORLD_TOUCHED || ((each | 1) === (other | 1) && (each & 1) + (other & 1) > 0)) return false;
    }
  }
  return b.indexOf(WORLD_TOUCHED) < 0;
}

const WORLD_TOUCHED = written(WORLD);

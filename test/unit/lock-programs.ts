/** Small programs of locks, for tests of whoever interleaves them: what they do shows in which order they did it. */
import { type Branch, type Choose, Interleaving } from '../../explore/interleave.ts';
import { Completion } from '../../impl/kernel/completion.ts';
import { LOCKLESS, touches } from '../../impl/kernel/footprint.ts';
import type { LockClass } from '../../impl/kernel/lockdep.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { Rwsem } from '../../impl/kernel/rwsem.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { Kernel, preempt, Task, type Thread } from '../../impl/kernel/thread.ts';

/** What a thread does next; locks, semaphores, cells and completions by number. */
export type Op =
  /** Under the mutex, change the cell so that the order of changes shows. */
  | { readonly do: 'change'; readonly lock: number }
  /** Take the outer, then the inner; the inner cell takes up the outer one. */
  | { readonly do: 'nest'; readonly outer: number; readonly inner: number }
  /** Under the semaphore: read what the cell is, or change it. */
  | { readonly do: 'read' | 'write'; readonly sem: number }
  /** Without a lock: read the shared cell, and later write what follows from it. */
  | { readonly do: 'lockless' }
  | { readonly do: 'wait' | 'complete'; readonly completion: number };

export type Program = readonly (readonly Op[])[];

/** Between them, no order is documented. */
const MUTEXES: readonly LockClass[] = ['staccess.lock', 'dev_set.lock', 'ioas_creation_lock'];
const SEMS: readonly LockClass[] = ['domains_rwsem', 'iova_rwsem'];

class Memory {
  readonly mutexes = MUTEXES.map((name) => new Mutex(name, name));
  readonly sems = SEMS.map((name) => new Rwsem(name, name));
  readonly completions = [0, 1].map((i) => new Completion(`completion ${i}`));
  /** By mutex, then by semaphore, then the one that no lock protects. */
  readonly cells = [1, 1, 1, 1, 1, 1];
  readonly seen: number[][] = [];
}

/**
 * Run the program once; in words: what is in the cells, what each thread has seen, and who is left waiting; or the
 * splat of a thread that takes two locks both ways round.
 */
export function runProgram(program: Program, choose: Choose): string {
  const memory = new Memory();
  const branches = program.map((ops, i): Branch<void> => {
    const seen: number[] = [];
    memory.seen.push(seen);
    // Each has a kernel of its own: a circle of locks is to be a deadlock here.
    return { task: new Task(`t${i}`, new Kernel()), thread: threadOf(memory, ops, i + 2, seen) };
  });
  const all = new Interleaving(branches);
  try {
    all.go(choose);
  } catch (error) {
    if (error instanceof Splat) return error.message;
    throw error;
  }
  const waiting = all.waiting.map(({ task, wants }) => `${task.name} waits for ${wants?.name}`);
  return JSON.stringify([memory.cells, memory.seen, waiting]);
}

function* threadOf(memory: Memory, ops: readonly Op[], prime: number, seen: number[]): Thread {
  for (const op of ops) yield* step(memory, op, prime, seen);
}

function* step(memory: Memory, op: Op, by: number, seen: number[]): Thread {
  const { mutexes, sems, completions, cells } = memory;
  const change = (cell: number, more = 0): void => {
    cells[cell] = ((cells[cell] as number) * 7 + by + more) % 9973;
  };
  switch (op.do) {
    case 'change': {
      const lock = mutexes[op.lock] as Mutex;
      yield lock;
      change(op.lock);
      lock.release();
      return;
    }
    case 'nest': {
      const outer: Mutex = mutexes[op.outer] as Mutex;
      const inner: Mutex = mutexes[op.inner] as Mutex;
      yield outer;
      yield inner;
      change(op.inner, cells[op.outer]);
      inner.release();
      outer.release();
      return;
    }
    case 'read': {
      const sem = sems[op.sem] as Rwsem;
      yield sem.read;
      seen.push(cells[3 + op.sem] as number);
      sem.releaseRead();
      return;
    }
    case 'write': {
      const sem = sems[op.sem] as Rwsem;
      yield sem.write;
      change(3 + op.sem);
      sem.releaseWrite();
      return;
    }
    case 'lockless': {
      yield preempt;
      touches(LOCKLESS);
      const before = cells[5] as number;
      yield preempt;
      touches(LOCKLESS);
      cells[5] = (before * 7 + by) % 9973;
      return;
    }
    case 'wait':
      yield completions[op.completion] as Completion;
      return;
    case 'complete':
      (completions[op.completion] as Completion).complete();
  }
}

/** Two threads that count up without a lock: one of two counts is lost, if they are interrupted. */
export const LOST_UPDATE: Program = [[{ do: 'lockless' }], [{ do: 'lockless' }]];

/** Which locks a running command takes, in which order, and what is nested in what: read from its wait points. */
import { expect } from 'vitest';
import { type Branch, interleave } from '../../explore/interleave.ts';
import { type HeldLock, LOCK_CLASSES } from '../../impl/kernel/lockdep.ts';
import type { Task } from '../../impl/kernel/thread.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import type { Rig } from './iommufd-rig.ts';

/** Locks taken while the one before them is held. */
interface Section {
  readonly lock: string;
  readonly inside: Section[];
}

/** Writes down what a task takes and gives back, as the table writes it: `→` one after the other, `⊃` nested. */
class LockRecorder {
  readonly #all: Section[] = [];
  #held: { readonly lock: HeldLock; readonly section: Section }[] = [];

  /** To be called at every stop of the task: what it holds now, and a lock that it is about to enter. */
  look({ held }: Task, wants: unknown): void {
    this.#held = this.#held.filter(({ lock }) => held.includes(lock));
    for (const lock of held) if (!this.#held.some((known) => known.lock === lock)) this.#take(lock);
    if (isLock(wants)) this.#take(wants);
  }

  #take(lock: HeldLock): void {
    const side = /\([RW]\)$/.exec(lock.name)?.[0] ?? '';
    const section = { lock: `${LOCK_CLASSES[lock.classId]}${side}`, inside: [] };
    (this.#held.at(-1)?.section.inside ?? this.#all).push(section);
    this.#held.push({ lock, section });
  }

  toString(): string {
    return this.#all.map(written).join(' → ');
  }
}

const isLock = (wants: unknown): wants is HeldLock =>
  typeof wants === 'object' && wants !== null && 'classId' in wants && 'name' in wants;

function written({ lock, inside }: Section): string {
  if (inside.length === 0) return lock;
  const nested = inside.map(written).join(' → ');
  return `${lock} ⊃ ${inside.length === 1 ? nested : `[ ${nested} ]`}`;
}

/** Run one command to its end, alone; the locks it took. */
export function locksOf(rig: Rig, command: Command, answer: unknown): string {
  return locksOfBranch<Result>(rig.machine.start(command.do, command), answer);
}

/** The same of any thread. */
export function locksOfBranch<T>(branch: Branch<T>, answer: unknown): string {
  const recorder = new LockRecorder();
  const answers = interleave(
    [branch],
    () => 0,
    ({ task, wants }) => recorder.look(task, wants),
  );
  expect(answers).toEqual([answer]);
  return recorder.toString();
}

/** One step of both worlds. Always legal: refusing with the right errno is part of the protocol. */
import type { DomainCall } from '../impl/iommu/domain.ts';
import { Splat } from '../impl/kernel/splat.ts';
import { noDoubleUnmap, type Observation } from '../model/invariants.ts';
import { type Outcome, type State, step } from '../model/spec.ts';
import type { Answer, Errno, Result } from '../trace/answer.ts';
import type { Command } from '../trace/command.ts';
import type { Fault } from '../trace/trace.ts';
import { agree } from './agree.ts';
import { crashOf } from './crash.ts';
import { Divergence, showValue } from './divergence.ts';
import type { World } from './world.ts';

/** What one step led to, for whoever counts coverage. */
export interface Performed {
  readonly command: Command;
  readonly result: Result;
  /** The calls that reached domains, in order. */
  readonly calls: readonly DomainCall[];
  /** What was looked at after the step. */
  readonly observation: Observation;
}

/** Carry out the command in both worlds and compare them. Fails with a Divergence. */
export function perform(world: World, command: Command): Performed {
  const before = world.state;
  const number = world.history.length + 1;
  const result = execute(world, command, number);
  world.history.push({ command, result });
  const outcome = step(before, command, choiceIn(command, result));
  const wrong = wrongAnswer(outcome, result);
  if (wrong !== undefined) throw new Divergence('answer', number, command, wrong);
  const { state }: Said = outcome;
  if (state !== undefined) world.state = state;
  const calls = world.machine.takeCalls();
  const observation = agree(world, before, calls, {
    command,
    refused: result.err !== undefined,
    whole: number % world.wholeEvery === 0,
  });
  return { command, result, calls, observation };
}

/** The implementation's answer. Fails with a Divergence when it has none. */
export function execute(world: World, command: Command, number: number, fault?: Fault): Result {
  try {
    return world.machine.execute(command);
  } catch (error) {
    world.history.push({ command, ...(fault && { fault }) });
    const { breach, details } = breachOf(error);
    throw new Divergence(breach, number, command, details);
  }
}

/** What the implementation threw: a splat of its own, or, as a kernel would oops, an error that nobody foresaw. */
export function breachOf(error: unknown): Pick<Divergence, 'breach' | 'details'> {
  if (error instanceof Splat) {
    // The page table itself sees an unmap of what is not mapped, before anybody can look.
    return { breach: error.kind === 'double unmap' ? noDoubleUnmap.name : 'splat', details: [error.message] };
  }
  return { breach: 'crash', details: crashOf(error) };
}

/** The automatic IOVA that the implementation chose: the model judges it. */
export function choiceIn(command: Command, result: Result): bigint | undefined {
  if (result.err !== undefined) return undefined;
  if ((command.do === 'ioas_map' || command.do === 'ioas_map_file') && command.iova === undefined)
    return result.ok.iova;
  if (command.do === 'ioas_copy' && command.dst_iova === undefined) return result.ok.iova;
  return undefined;
}

/** How an answer differs from what it must be; undefined when it does not. */
export function wrongAnswer(outcome: Outcome, result: Result): string[] | undefined {
  const said: Said = outcome;
  if (said.refused !== undefined) return [said.refused, `the implementation answered ${showValue(result)}`];
  if (sameResult(said, result)) return undefined;
  const expected = said.err === undefined ? { ok: said.ok } : { err: said.err };
  return [`the model answers ${showValue(expected)}`, `the implementation ${showValue(result)}`];
}

/** All that a result or an outcome can say: a field that is not there is read quicker than it is looked for. */
interface Said {
  readonly ok?: Answer;
  readonly err?: Errno;
  readonly state?: State;
  readonly refused?: string;
}

export function sameResult(a: Said, b: Said): boolean {
  if (a.ok === undefined || b.ok === undefined) return a.ok === b.ok && a.err === b.err;
  return sameAnswer(a.ok, b.ok);
}

/** Whether all that one tells the other one tells as well, and no more. */
function sameAnswer(answer: Answer, other: Answer): boolean {
  let more = 0;
  for (const _ in other) more++;
  for (const key in answer) {
    if (!sameValue(answer[key as keyof Answer], other[key as keyof Answer])) return false;
    more--;
  }
  return more === 0;
}

type Value = Answer[keyof Answer];

function sameValue(a: Value, b: Value): boolean {
  if (typeof a !== 'object' || typeof b !== 'object') return a === b && a !== undefined;
  return a.length === b.length && a.every(([first, last], i) => first === b[i]?.[0] && last === b[i]?.[1]);
}

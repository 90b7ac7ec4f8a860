/**
 * A sweep: a sequence leads to a state, and there one call is made with its first fault point failing, then its
 * second, and so on until nothing fails any more, each time from the same state. After each failure the call must
 * succeed when it is made again, as it would have without; what follows must be as in any sequence, and closing
 * everything leave nothing.
 */
import { step } from '../../model/spec.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import type { Fault } from '../../trace/trace.ts';
import { Divergence, showValue } from '../divergence.ts';
import type { Intent } from '../intents.ts';
import { choiceIn, execute, type Performed, perform, sameResult, wrongAnswer } from '../perform.ts';
import { resolve } from '../resolve/resolve.ts';
import { closeAll, finish, inWorld } from '../walk.ts';
import { newWorld, type World } from '../world.ts';
import { performFaulty, pointsOf } from './faults.ts';

/** One case of the property: `last` is what is made to fail. */
export interface FaultCase {
  readonly config: MachineConfig;
  readonly kernel: string;
  readonly intents: readonly Intent[];
  /** What comes behind them, so that rare kinds of state are not too rare. */
  readonly lead: readonly Intent[];
  readonly last: Intent;
  /** What is done after it, as in any sequence. */
  readonly tail: readonly Intent[];
  /** Decides the order in which everything is closed. */
  readonly closing: number;
}

/** Told of every fault, how the call that had it ended, and whether a second one came after it. */
export type FaultWitness = (command: Command, fault: Fault, answer: string, twice: boolean) => void;

/** Sweep the last call of a case. Fails with a Divergence, whose trace has the fault. */
export function sweepFaults(drawn: FaultCase, witness?: FaultWitness): void {
  const { config, kernel, intents, lead, last, tail, closing } = drawn;
  const first = newWorld(config, kernel);
  const { command, result, points } = inWorld(first, () => {
    for (const intent of [...intents, ...lead]) advance(first, resolve(intent, first.state));
    // What is wrong without any fault is not blamed on one.
    finish(first);
    const command = crossing(resolve(last, first.state), last);
    return { command, ...pointsOf(first, command) };
  });
  const commands = first.history.map((each) => each.command);
  for (const fault of spread(points)) {
    // Alone, and then with each of the points that are passed after it, of which there are few.
    let later = 0;
    for (let again = 0; again <= Math.min(later, ALL_OF); again++) {
      const world = newWorld(config, kernel);
      inWorld(world, () => {
        for (const each of commands) advance(world, each);
        world.machine.kernel.poisons = true; // Error paths are where things are freed too early.
        const failed = performFaulty(world, command, fault, again);
        if (again === 0) later = failed.later;
        witness?.(command, fault, 'err' in failed.result ? failed.result.err : 'ok', again > 0);
        const second = perform(world, command);
        if (failed.rule.leaves === undefined) asEver(world, second, result);
        for (const intent of tail) perform(world, resolve(intent, world.state));
        closeAll(world, closing);
      });
    }
  }
}

/** A call that maps page by page passes thousands of points, mostly the same: then the first, the last, and some. */
const ALL_OF = 20;
const BETWEEN = 10;

function spread(points: readonly Fault[]): readonly Fault[] {
  const between = points.length - 2 * ALL_OF;
  if (between <= BETWEEN) return points;
  const some = Array.from({ length: BETWEEN }, (_, i) => points[ALL_OF + Math.floor((between * i) / BETWEEN)] as Fault);
  return [...points.slice(0, ALL_OF), ...some, ...points.slice(-ALL_OF)];
}

/** Made once more, the call answers as if nothing had happened. */
function asEver({ history }: World, { command, result }: Performed, expected: Result): void {
  if (sameResult(expected, result)) return;
  const wrong = [`again, it answers ${showValue(result)}`, `it would have answered ${showValue(expected)}`];
  throw new Divergence('not as before', history.length, command, wrong);
}

/** What is long is mapped across the border of a table now and then, and so page by page: a table may fail half-way. */
export function crossing(command: Command, { at }: Intent): Command {
  if (command.do !== 'ioas_map_file' && command.do !== 'ioas_map') return command;
  if (command.iova === undefined || command.length < LONG || at % 2 === 0) return command;
  return { ...command, iova: command.iova + 0x1000n };
}

/** What one table of a domain's lowest level covers, on most machines. */
const LONG = 0x20_0000n;

/** A step of which only the answer is compared: the sequential property does the rest. */
export function advance(world: World, command: Command): void {
  const number = world.history.length + 1;
  const result = execute(world, command, number);
  world.history.push({ command, result });
  const outcome = step(world.state, command, choiceIn(command, result));
  const wrong = wrongAnswer(outcome, result);
  if (wrong !== undefined) throw new Divergence('answer', number, command, wrong);
  if ('state' in outcome && outcome.state !== undefined) world.state = outcome.state;
  world.machine.takeCalls();
}

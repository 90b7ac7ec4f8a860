/**
 * Walks a case with limits on what the process may lock. The model answers, except that it knows no limit: where one is
 * met, the answer must be ENOMEM, all must be as before, and the same command must succeed without the limit.
 */
import * as fc from 'fast-check';
import type { DomainCall } from '../../impl/iommu/domain.ts';
import { step } from '../../model/spec.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { Accounting } from '../accounting.ts';
import { agree } from '../agree.ts';
import { Divergence } from '../divergence.ts';
import { choiceIn, execute, wrongAnswer } from '../perform.ts';
import { reportOf } from '../regression.ts';
import { resolve } from '../resolve/resolve.ts';
import { closeAll } from '../walk.ts';
import { newWorld, type World } from '../world.ts';
import { type MappingCase, mappingCases } from './cases.ts';

/** What a watcher is told of a step, on which both worlds agree. */
export interface Seen {
  readonly world: World;
  readonly before: World['state'];
  readonly command: Command;
  readonly result: Result;
  readonly calls: readonly DomainCall[];
}

/** A small oracle of its own: what it says is wrong, a line each. */
export interface Watcher {
  readonly name: string;
  /** The machine, before anything has happened. */
  begin?(world: World): void;
  /** The command, as the implementation is to get it. */
  adapt?(world: World, command: Command, besides: number): Command;
  saw(seen: Seen): string[];
  /** What happens after the step. */
  besides?(world: World, besides: number): string[];
}

/** Walk a case to its end. Fails with a Divergence, which takes along the world in which it was met. */
function walkMapping({ config, kernel, steps, closing }: MappingCase, watcher?: Watcher): Accounting {
  const world = newWorld(config, kernel);
  const accounting = new Accounting(world);
  try {
    watcher?.begin?.(world);
    for (const { intent, besides } of steps) {
      accounting.changeProcess(besides);
      const known = resolve(intent, world.state);
      const command = watcher?.adapt?.(world, known, besides) ?? known;
      takeStep(world, accounting, command, known, watcher);
      must(world, command, watcher?.name ?? '', watcher?.besides?.(world, besides) ?? []);
    }
    closeAll(world, closing);
    must(world, undefined, 'accounting', accounting.wrong());
  } catch (error) {
    if (error instanceof Divergence) error.world = world;
    throw error;
  }
  return accounting;
}

function must(world: World, command: Command | undefined, breach: string, wrong: readonly string[]): void {
  if (wrong.length > 0) throw new Divergence(breach, world.history.length, command, wrong);
}

/** `known` is the command as the model knows it. */
function takeStep(
  world: World,
  accounting: Accounting,
  command: Command,
  known: Command,
  watcher: Watcher | undefined,
): void {
  const before = world.state;
  let result = run(world, command);
  const limited = 'err' in result && result.err === 'ENOMEM' && fills(command);
  if (limited) {
    look(world, before, command, result, watcher);
    must(world, command, 'accounting', accounting.wrong());
    result = accounting.unlimited(() => run(world, command));
  }
  const outcome = step(before, known, choiceIn(command, result));
  const wrong = wrongAnswer(outcome, result);
  if (wrong !== undefined) throw new Divergence('answer', world.history.length, command, wrong);
  if ('state' in outcome && outcome.state !== undefined) world.state = outcome.state;
  accounting.learn(before, command);
  // What fails in any case may first have met the limit, at an area before.
  if ('ok' in result) must(world, command, 'accounting', accounting.wrongLimit(before, limited));
  look(world, before, command, result, watcher);
  must(world, command, 'accounting', accounting.wrong());
}

function run(world: World, command: Command): Result {
  const result = execute(world, command, world.history.length + 1);
  world.history.push({ command, result });
  return result;
}

/** Commands that may pin. */
const fills = ({ do: what }: Command): boolean =>
  what === 'ioas_map' ||
  what === 'ioas_map_file' ||
  what === 'ioas_copy' ||
  what === 'vfio_attach' ||
  what === 'mock_domain' ||
  what === 'hwpt_alloc';

/** Both worlds agree, and the watcher has nothing to say. */
function look(
  world: World,
  before: World['state'],
  command: Command,
  result: Result,
  watcher: Watcher | undefined,
): void {
  const calls = world.machine.takeCalls();
  agree(world, before, calls, { command, refused: 'err' in result, whole: false });
  must(world, command, watcher?.name ?? '', watcher?.saw({ world, before, command, result, calls }) ?? []);
}

export interface MappingOptions {
  readonly seed: number;
  readonly runs: number;
  /** The most steps of one case. */
  readonly longest: number;
  /** A watcher for each case. */
  readonly watch?: () => Watcher;
  /** Told of the accounting of each case, when it is over. */
  readonly over?: (accounting: Accounting) => void;
}

/** Walk cases until one fails, and shrink that. Fails with a report for a person. */
export function checkMapping({ seed, runs, longest, watch, over }: MappingOptions): void {
  const property = fc.property(mappingCases(longest), (drawn) => {
    const accounting = walkMapping(drawn, watch?.());
    over?.(accounting);
  });
  const { failed, errorInstance: error } = fc.check(property, { seed, numRuns: runs });
  if (!failed) return;
  if (!(error instanceof Divergence)) throw error;
  // No file can replay it: a trace has commands, and neither limits nor writes.
  throw new Error([...reportOf(error, '').slice(0, -1), `see it again:  SHOOTDOWN_SEED=${seed}`].join('\n'));
}

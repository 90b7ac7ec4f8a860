/** A call of which one fault point fails, and a revoke: at one place the second comes between steps of the first. */
import { stuck } from '../../explore/blame.ts';
import type { Sketch } from '../../explore/drawing.ts';
import { type Choose, Follower, Interleaving } from '../../explore/interleave.ts';
import { current } from '../../impl/kernel/thread.ts';
import type { State } from '../../model/spec.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import type { Fault } from '../../trace/trace.ts';
import { Divergence } from '../divergence.ts';
import { Broken, breachIn } from '../races/breach.ts';
import { Watch } from '../races/watch.ts';
import { newWorld, type World } from '../world.ts';
import type { Revoke } from './revokes.ts';

/** From one state, who races. */
export interface RacedCall {
  readonly config: MachineConfig;
  readonly kernel: string;
  /** What leads to the state, and what the model is then. */
  readonly before: readonly Command[];
  readonly state: State;
  readonly call: Command;
  readonly revoke: Revoke;
}

/** Who begins, and after how many of its steps the other comes, who then goes as far as it can. */
export interface Place {
  readonly first: 'call' | 'revoke';
  readonly after: number;
}

export interface Raced {
  readonly world: World;
  readonly called: Result;
  readonly revoked: Result;
  /** The fault was met. */
  readonly failed: boolean;
  /** Steps of each, and the step of the call in which the fault was met, counted from 1. */
  readonly steps: Readonly<Record<Place['first'], number>>;
  readonly failedAt: number;
  /** Whether the other came before the first was done: once, or not. */
  readonly came: number;
}

/** Beside the other no more than once: whoever began goes on, and is not left again. */
export const SEQUENTIAL = 1_000_000;

/** The world as it is before the race. */
export function begin({ config, kernel, before, state }: Omit<RacedCall, 'call' | 'revoke'>): World {
  const world = newWorld(config, kernel);
  for (const command of before) world.history.push({ command, result: world.machine.execute(command) });
  world.machine.takeCalls();
  world.state = state;
  return world;
}

/** Makes what looks over the shoulder of the chooser, and is told when the fault strikes. */
export type Draws = (choose: Choose) => Sketch;

/** Run both. Fails with a Divergence when something is broken at a step, or the implementation splats or crashes. */
export function race(it: RacedCall, fault: Fault | undefined, { first, after }: Place, draws?: Draws): Raced {
  const world = begin(it);
  const { machine } = world;
  const { faults } = machine.kernel;
  const branches = { call: machine.start('call', it.call), revoke: machine.start('revoke', it.revoke.command) };
  const second = first === 'call' ? 'revoke' : 'call';
  const watch = new Watch(machine);
  const follower = new Follower([{ after, to: 1 }]);
  const sketch = draws?.(follower.choose);
  let passages = 0;
  const meets = (site: string): boolean => {
    if (site !== fault?.site || current().name !== 'call') return false;
    if (++passages === fault.nth) sketch?.note(`! ${site} fails`);
    return true;
  };
  if (fault !== undefined) faults.arm(fault.nth, meets);
  const steps = { call: 0, revoke: 0 };
  let failedAt = 0;
  try {
    const both = new Interleaving([branches[first], branches[second]]);
    both.go((sketch ?? follower).choose, ({ task }) => {
      steps[task.name as Place['first']]++;
      if (failedAt === 0 && faults.failed !== undefined) failedAt = steps.call;
      watch.look(`the ${task.name}`);
    });
    const blocked = stuck(both.waiting);
    if (blocked !== undefined) throw new Broken({ kind: blocked.verdict, what: blocked.lines.join('; ') });
    const [one, other] = both.answers as [Result, Result];
    const [called, revoked] = first === 'call' ? [one, other] : [other, one];
    const failed = fault !== undefined && faults.fired;
    world.history.push({ command: it.call, ...(failed && { fault }), result: called });
    world.history.push({ command: it.revoke.command, result: revoked });
    return { world, called, revoked, failed, steps, failedAt, came: follower.came };
  } catch (error) {
    const { kind, what } = breachIn(error);
    throw new Divergence(kind, world.history.length, it.call, [what]);
  } finally {
    faults.disarm();
    machine.takeCalls();
  }
}

/**
 * The same model, implementation and comparison, driven by fast-check's own model-based testing: `fc.commands` draws
 * commands without knowing the state, and `fc.modelRun` runs those that their `check` lets pass. Twice: once with our
 * intents, resolved when they run, and once with arguments that are drawn with the commands. In the end everything is
 * closed, as in the walk.
 */
import * as fc from 'fast-check';
import { type Intent, oneIntent } from '../properties/intents.ts';
import { perform } from '../properties/perform.ts';
import { resolve } from '../properties/resolve/resolve.ts';
import { closeAll, poisons, type Witness } from '../properties/walk.ts';
import { newWorld, type World } from '../properties/world.ts';
import type { Command } from '../trace/command.ts';
import { showCommand } from '../trace/show.ts';
import { blindCommand, PRELUDE } from './blind.ts';
import { config, KERNEL, LONGEST, SEQUENCES, STATED_MIX } from './mix.ts';

/** What fast-check calls the model and the real system: here both worlds are in one, and somebody may look on. */
interface Real {
  readonly world: World;
  readonly witness: Witness | undefined;
}

function takeStep({ world, witness }: Real, command: Command): void {
  const before = world.state;
  const performed = perform(world, command);
  witness?.(world, before, performed);
}

class IntentCommand implements fc.Command<World, Real> {
  readonly intent: Intent;

  constructor(intent: Intent) {
    this.intent = intent;
  }

  check(): boolean {
    return true;
  }

  run(model: World, real: Real): void {
    takeStep(real, resolve(this.intent, model.state));
  }

  toString(): string {
    return JSON.stringify(this.intent);
  }
}

/** Runs when the names that it uses stand for something, and the one that it gives does not. */
class BlindCommand implements fc.Command<World, Real> {
  readonly command: Command;

  constructor(command: Command) {
    this.command = command;
  }

  check({ state }: Readonly<World>): boolean {
    for (const [key, value] of Object.entries(this.command)) {
      if (HANDLES.has(key) && state.handles.get(value) === undefined) return false;
      if (key === 'as' && state.handles.get(value) !== undefined) return false;
    }
    return true;
  }

  run(_model: World, real: Real): void {
    takeStep(real, this.command);
  }

  toString(): string {
    return showCommand(this.command);
  }
}

const HANDLES = new Set(['ctx', 'ioas', 'src', 'dst', 'pt', 'obj', 'fd', 'mem']);

const intentCommand = oneIntent.map((drawn) => new IntentCommand(STATED_MIX.intent(drawn)));

const constraints = { maxCommands: LONGEST, size: 'max' } as const;
const intentCommands = fc.commands<World, Real>([intentCommand], constraints);
const blindCommands = fc.commands<World, Real>([blindCommand.map((it) => new BlindCommand(it))], constraints);

/** For whom, and how thoroughly. */
export interface Options {
  readonly witness?: Witness;
  /** Compare everything after every so many steps; as often as the walk does unless told. */
  readonly wholeEvery?: number;
}

/** Run sequences of intents of the stated mix; how many steps that was. */
export const runIntents = (seed: number, options: Options = {}): number => run(intentCommands, [], seed, options);

/** Run sequences of commands drawn blind, each on a machine on which something can be mapped. */
export const runBlind = (seed: number, options: Options = {}): number => run(blindCommands, PRELUDE, seed, options);

function run(
  arbitrary: fc.Arbitrary<Iterable<fc.Command<World, Real>>>,
  prelude: readonly Command[],
  seed: number,
  { witness, wholeEvery }: Options,
): number {
  let count = 0;
  const property = fc.property(arbitrary, fc.nat(), (commands, closing) => {
    const world = newWorld(config, KERNEL, wholeEvery);
    world.machine.kernel.poisons = poisons(closing);
    const setup = (): { model: World; real: Real } => {
      for (const command of prelude) takeStep({ world, witness }, command);
      return { model: world, real: { world, witness } };
    };
    fc.modelRun(setup, commands);
    closeAll(world, closing, witness);
    count += world.history.length;
  });
  fc.assert(property, { seed, numRuns: SEQUENCES });
  return count;
}

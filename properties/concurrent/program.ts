/**
 * A concurrent program: what one thread does first, and what two or three then do at once. Its commands mean something
 * in the state that they were resolved in, and are legal in any other.
 */
import { Machine } from '../../impl/machine.ts';
import { type State, step } from '../../model/spec.ts';
import type { Command, Handle } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { gives, uses } from '../../trace/names.ts';
import { FIELD, type Intent } from '../intents.ts';
import { perform } from '../perform.ts';
import { resolve } from '../resolve/resolve.ts';
import { inWorld, walkCommands } from '../walk.ts';
import { newWorld, type World } from '../world.ts';

export interface Program {
  readonly config: MachineConfig;
  /** The version to behave like. */
  readonly kernel: string;
  /** Done by one thread before the others begin. */
  readonly prefix: readonly Command[];
  readonly branches: readonly (readonly Command[])[];
}

/** The same as it was drawn. */
export interface Meant extends Pick<Program, 'config' | 'kernel'> {
  readonly prefix: readonly Intent[];
  readonly branches: readonly (readonly Intent[])[];
  /**
   * A branch is about what there will be when those before it are done: it maps where they have unmapped, and turns on
   * what they have turned off. Else each is about what there is before all of them.
   */
  readonly inTurn: boolean;
}

/** A program, and both worlds as they are when its prefix is done; whoever runs it leaves `state` as it is. */
export interface Ready {
  readonly program: Program;
  readonly world: World;
  readonly state: State;
}

/** Walk the prefix in a new world. Fails with a Divergence, as any sequence may. */
export function ready({ config, kernel, prefix, branches, inTurn }: Meant): Ready {
  const world = newWorld(config, kernel);
  inWorld(world, () => {
    for (const intent of prefix) perform(world, resolve(intent, world.state));
  });
  const program: Program = {
    config,
    kernel,
    prefix: world.history.map(({ command }) => command),
    branches: branchesOf(branches, world, inTurn),
  };
  return { program, world, state: world.state };
}

/** The same of a program whose commands are known. */
export const begin = ({ config, kernel, prefix }: Program): World => walkCommands(newWorld(config, kernel), prefix);

/** The same once more: the model is a value, and the implementation does again what it did. */
export function beginAgain({ program: { config, kernel, prefix }, world, state }: Ready): World {
  const machine = new Machine(config, kernel);
  for (const command of prefix) machine.execute(command);
  return { ...world, machine, state, history: world.history.slice(0, prefix.length) };
}

/** Each branch uses what there was before all, and what it has made itself: no other knows of that. */
function branchesOf(branches: Meant['branches'], { config, history, state }: World, inTurn: boolean): Command[][] {
  const before = [...config.devices.keys(), ...history.flatMap(({ command }) => namesGivenBy(command))];
  let done = state;
  return branches.map((intents, i) => {
    const known = new Set(before);
    let [alone, last] = [state, inTurn ? done : state];
    const commands = intents.map((intent, j) => {
      const command = renamed(resolved(intent, [last, alone], known), `${i + 1}.${j + 1}`);
      [alone, last] = [after(alone, command), after(last, command)];
      for (const name of namesGivenBy(command)) known.add(name);
      return command;
    });
    done = last;
    return commands;
  });
}

/** About the first state in which it uses nothing but what is known; what was wrong on purpose may be right then. */
function resolved(intent: Intent, states: readonly State[], known: ReadonlySet<Handle>): Command {
  const right = { ...intent, odd: FIELD - 1 };
  for (const meant of [intent, right]) {
    for (const state of states) {
      const command = resolve(meant, state);
      if (uses(command).every(([, name]) => known.has(name))) return command;
    }
  }
  return resolve(right, states.at(-1) as State);
}

const namesGivenBy = (command: Command): Handle[] => gives(command).map(([, name]) => name);

function after(state: State, command: Command): State {
  const outcome = step(state, command);
  return 'state' in outcome ? (outcome.state ?? state) : state;
}

/** New things get names that no other branch gives. */
function renamed(command: Command, where: string): Command {
  if (!('as' in command)) return command;
  const as = `${command.as}.${where}`;
  return command.do === 'mock_domain' ? { ...command, as, dev: `${command.dev}.${where}` } : { ...command, as };
}

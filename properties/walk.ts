/**
 * A sequence: intents resolved and performed one after the other, then everything closed in a random order, after which
 * nothing may be left.
 */
import type { Command } from '../trace/command.ts';
import type { MachineConfig } from '../trace/machine-config.ts';
import { agree } from './agree.ts';
import { Divergence } from './divergence.ts';
import type { Intent } from './intents.ts';
import { leftovers } from './leftovers.ts';
import { type Performed, perform } from './perform.ts';
import { resolve } from './resolve/resolve.ts';
import { newWorld, type World } from './world.ts';

/** One case of the sequential property. */
export interface Case {
  readonly config: MachineConfig;
  readonly kernel: string;
  readonly intents: readonly Intent[];
  /** Decides the order in which everything is closed. */
  readonly closing: number;
}

/** Told of every step; for coverage. `before` is the model's state before it. */
export type Witness = (world: World, before: World['state'], performed: Performed) => void;

/** How a walk begins; a test may begin it in a world that is wrong. */
export type MakeWorld = (config: MachineConfig, kernel: string) => World;

/** Of so many walks, one poisons what it frees, which takes time. A failure shrinks to one that does. */
const POISONED = 8;
export const poisons = (closing: number): boolean => closing % POISONED === 0;

/** Walk a case to its end. Fails with a Divergence, whose trace is the history of the world it happened in. */
export function walk({ config, kernel, intents, closing }: Case, witness?: Witness, make: MakeWorld = newWorld): World {
  const world = make(config, kernel);
  // A world that is wrong on purpose may look at what is gone.
  world.machine.kernel.poisons = make === newWorld && poisons(closing);
  inWorld(world, () => {
    for (const intent of intents) takeStep(world, resolve(intent, world.state), witness);
    closeAll(world, closing, witness);
  });
  return world;
}

/** A divergence takes along the world in which it was met. */
export function inWorld<T>(world: World, walkIt: () => T): T {
  try {
    return walkIt();
  } catch (error) {
    if (error instanceof Divergence) error.world = world;
    throw error;
  }
}

/** Perform given commands, and nothing else. */
export function walkCommands(world: World, commands: readonly Command[], witness?: Witness): World {
  inWorld(world, () => {
    for (const command of commands) takeStep(world, command, witness);
    finish(world);
  });
  return world;
}

/** Compare everything, once more, at the end; if all has been closed, nothing may be left. Fails with a Divergence. */
export function finish(world: World): void {
  compareAll(world);
  if (closers(world).length === 0) nothingIsLeft(world);
}

function compareAll(world: World): void {
  agree(world, world.state, world.machine.takeCalls(), { command: undefined, refused: false, whole: true });
}

function takeStep(world: World, command: Command, witness: Witness | undefined): void {
  const before = world.state;
  const performed = perform(world, command);
  witness?.(world, before, performed);
}

/** Close every descriptor that is open, in an order that `closing` decides, and look for what is left. */
export function closeAll(world: World, closing: number, witness?: Witness): void {
  inWorld(world, () => {
    for (const command of shuffled(closers(world), closing)) takeStep(world, command, witness);
    compareAll(world);
    nothingIsLeft(world);
  });
}

function nothingIsLeft(world: World): void {
  const left = leftovers(world);
  if (left.length > 0) throw new Divergence('left over', world.history.length, undefined, left);
}

function closers({ state }: World): Command[] {
  const commands: Command[] = state.contexts.map(({ name }) => ({ do: 'iommufd_close', ctx: name }));
  for (const { name, opening } of state.devices)
    if (opening !== undefined) commands.push({ do: 'vfio_close', dev: name });
  for (const { name: map, process } of state.mappings) if (process === undefined) commands.push({ do: 'munmap', map });
  for (const process of state.processes) commands.push({ do: 'exit', process });
  for (const [name, named] of state.handles) {
    if (named?.is === 'dmabuf' || named?.is === 'memfd') commands.push({ do: 'fd_close', fd: name });
  }
  return commands;
}

/** The same, in an order of which every one can be. */
function shuffled<T>(all: readonly T[], seed: number): T[] {
  const order = [...all];
  let random = seed;
  for (let i = order.length - 1; i > 0; i--) {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    const j = random % (i + 1);
    [order[i], order[j]] = [order[j] as T, order[i] as T];
  }
  return order;
}

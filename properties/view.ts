/** What an intent can choose from: the state of the model, by the names of things. */
import type { Area, Context, Device, Domain, Ioas, Mapping, Source, State } from '../model/spec.ts';
import type { Handle } from '../trace/command.ts';

/**
 * Names for new things. A name is given again when what it stood for is gone; memory's names are in targets, and last.
 */
const POOLS = {
  context: ['ctx0', 'ctx1'],
  ioas: ['a0', 'a1', 'a2'],
  hwpt: ['h0', 'h1', 'h2'],
  fd: ['b0', 'b1', 'b2', 'b3', 'b4', 'b5'],
  memory: ['m0', 'm1'],
  memfd: ['f0', 'f1'],
  mapping: ['v0', 'v1', 'v2'],
  process: ['p0', 'p1'],
  'test device': ['md0', 'md1', 'md2'],
  attached: ['x0', 'x1', 'x2'],
  'test buffer': ['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7'],
} as const;

export type Pool = keyof typeof POOLS;

/** The first name of the pool that stands for nothing now; undefined when all are taken. */
export function freeName(state: State, pool: Pool): Handle | undefined {
  return POOLS[pool].find((name) => !taken(state, pool, name));
}

/** Every name of the pool. */
export const namesOf = (pool: Pool): readonly Handle[] => POOLS[pool];

function taken(state: State, pool: Pool, name: Handle): boolean {
  if (pool === 'memory' || pool === 'memfd' || pool === 'test buffer') return state.handles.has(name);
  if (pool === 'context') return state.contexts.some((context) => context.name === name);
  if (pool === 'ioas') return state.ioases.some(({ space }) => space.name === name);
  if (pool === 'test device') return state.devices.some((device) => device.name === name);
  if (pool === 'hwpt' || pool === 'attached')
    return state.ioases.some(({ domains }) => domains.some((it) => it === state.handles.get(name)));
  if (pool === 'process') return state.processes.includes(name);
  if (pool === 'mapping') return state.mappings.some((it) => it.name === name);
  return state.handles.get(name) !== undefined;
}

/** Element `n` modulo the length; undefined of nothing. */
export const pick = <T>(all: readonly T[], n: number): T | undefined =>
  all.length === 0 ? undefined : all[n % all.length];

export const openContexts = (state: State): readonly Context[] => state.contexts;

/** The IOASes that can be named: those of an open context. */
export function usableIoases(state: State): readonly Ioas[] {
  return state.ioases.filter(({ space }) => state.contexts.includes(space.context));
}

export const manualDomains = (state: State): readonly Domain[] =>
  usableIoases(state).flatMap(({ domains }) => domains.filter(({ automatic }) => !automatic));

export const boundDevices = (state: State): readonly Device[] =>
  state.devices.filter(({ opening, holder }) => holder !== undefined && holder === opening);

/** The devices that the machine has, open or not. */
export const machineDevices = (state: State): readonly Device[] =>
  state.devices.filter(({ name }) => state.machine.devices.has(name));

/** The kernel's own test devices: attached from birth. */
export const testDevices = (state: State): readonly Device[] =>
  state.devices.filter(({ name }) => !state.machine.devices.has(name));

/** Open descriptors of buffers or memfds, or memory, by name. */
export function sources(state: State, is: Source['is']): { name: Handle; source: Source }[] {
  const found: { name: Handle; source: Source }[] = [];
  for (const [name, named] of state.handles) {
    if (named !== undefined && named.is === is) found.push({ name, source: named });
  }
  return found;
}

/** What the first process has mapped. */
export const ownMappings = ({ mappings }: State): readonly Mapping[] =>
  mappings.filter(({ process }) => process === undefined);

/** Areas that can be named, with their IOAS. */
export function someArea(state: State, n: number): { ioas: Ioas; area: Area } | undefined {
  const ioases = usableIoases(state).filter(({ areas }) => areas.length > 0);
  const ioas = pick(ioases, n);
  const area = ioas && pick(ioas.areas, n >> 2);
  return ioas && area && { ioas, area };
}

/** Names of IOASes and domains that are destroyed. */
export function destroyedObjects(state: State): Handle[] {
  const gone: Handle[] = [];
  for (const [name, named] of state.handles) {
    if (named === undefined || !('context' in named)) continue;
    const exists = state.ioases.some(({ space, domains }) => space === named || domains.some((it) => it === named));
    if (!exists) gone.push(name);
  }
  return gone;
}

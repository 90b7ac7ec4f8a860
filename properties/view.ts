/** What an intent can choose from: the state of the model, by the names of things. */
import type { Area, Context, Device, Domain, Ioas, Mapping, Source, Space, State } from '../model/spec.ts';
import type { Handle } from '../trace/command.ts';
import type { DeviceConfig } from '../trace/machine-config.ts';

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

/** The same of those that fit. */
export function pickOf<T>(all: readonly T[], n: number, fits: (one: T) => boolean): T | undefined {
  let fitting = 0;
  for (const one of all) if (fits(one)) fitting++;
  if (fitting === all.length) return pick(all, n);
  let left = n % fitting;
  for (const one of all) if (fits(one) && left-- === 0) return one;
  return undefined;
}

export const openContexts = (state: State): readonly Context[] => state.contexts;

/** The IOASes that can be named: those of an open context. */
export function usableIoases({ ioases, contexts }: State): readonly Ioas[] {
  const usable = ({ space }: Ioas): boolean => contexts.includes(space.context);
  return ioases.every(usable) ? ioases : ioases.filter(usable);
}

export const manualDomains = (state: State): readonly Domain[] =>
  usableIoases(state).flatMap(({ domains }) => domains.filter(({ automatic }) => !automatic));

export const isBound = ({ opening, holder }: Device): boolean => holder !== undefined && holder === opening;

export const boundDevices = ({ devices }: State): readonly Device[] => devices.filter(isBound);

/** The devices that the machine has, open or not. */
export const machineDevices = (state: State): readonly Device[] =>
  state.devices.filter(({ name }) => state.machine.devices.has(name));

/** One of the kernel's own test devices: attached from birth. */
export const isTestDevice = ({ name }: Device, { machine }: State): boolean => !machine.devices.has(name);

export const testDevices = (state: State): readonly Device[] =>
  state.devices.filter((device) => isTestDevice(device, state));

const PAGE = 0x1000;

/** Whole pages. */
export const pagesIn = (length: bigint): number => Math.floor(Number(length) / PAGE);

/** The number and the length of the largest BAR; of several the first. */
export function largestBar({ bars }: DeviceConfig): readonly [region: number, length: bigint] {
  let largest: readonly [number, bigint] = [0, 0n];
  for (const bar of bars) if (bar[1] > largest[1]) largest = bar;
  return largest;
}

/** What is behind an open descriptor, or memory, by its name. */
export interface NamedSource {
  readonly name: Handle;
  readonly source: Source;
}

/** Open descriptors of buffers or memfds, or memory, by name. */
export const sources = ({ handles }: State, is: Source['is']): readonly NamedSource[] => sorted(handles)[is];

/** What names were given to, sorted by what it is; in each kind in the order of the names. */
interface Sorted extends Readonly<Record<Source['is'], NamedSource[]>> {
  readonly object: { readonly name: Handle; readonly object: Space | Domain }[];
}

/** Most steps give no name: what was sorted last is mostly asked for again. */
let last: { readonly handles: State['handles']; readonly sorted: Sorted } | undefined;

function sorted(handles: State['handles']): Sorted {
  if (last?.handles !== handles) last = { handles, sorted: sort(handles) };
  return last.sorted;
}

function sort(handles: State['handles']): Sorted {
  const kinds: Sorted = { dmabuf: [], memfd: [], memory: [], mapping: [], object: [] };
  for (const [name, named] of handles) {
    if (named === undefined) continue;
    if ('base' in named) kinds[named.is].push({ name, source: named });
    else if ('context' in named) kinds.object.push({ name, object: named });
  }
  return kinds;
}

/** What the first process has mapped. */
export const ownMappings = ({ mappings }: State): readonly Mapping[] =>
  mappings.filter(({ process }) => process === undefined);

/** Areas that can be named, with their IOAS. */
export function someArea(state: State, n: number): { ioas: Ioas; area: Area } | undefined {
  const ioas = pickOf(usableIoases(state), n, ({ areas }) => areas.length > 0);
  const area = ioas && pick(ioas.areas, n >> 2);
  return ioas && area && { ioas, area };
}

/** The name of an IOAS or domain that is destroyed, `n` modulo their number; undefined if none is. */
export function destroyedObject(state: State, n: number): Handle | undefined {
  const { object: all } = sorted(state.handles);
  const isAt = ({ space, domains }: Ioas, it: Space | Domain): boolean =>
    space === it || domains.includes(it as Domain);
  return pickOf(all, n, ({ object }) => !state.ioases.some((ioas) => isAt(ioas, object)))?.name;
}

/**
 * Deliberately wrong commands: a handle that is closed, destroyed, of another kind or of nobody; a number that is
 * misaligned, too large, or wraps; a flag that nobody knows.
 */
import type { Area, Do, State } from '../model/spec.ts';
import type { BarMmap, Command } from '../trace/command.ts';
import { domainNames } from './changes.ts';
import type { Intent } from './intents.ts';
import { destroyedObjects, namesOf, type Pool, pick, sources } from './view.ts';

const MAX = (1n << 64n) - 1n;
const PAGE = 0x1000n;

/** Numbers that some check must refuse, or just let pass. */
const EDGES: readonly bigint[] = [
  0n,
  1n,
  0x7ffn,
  0x800n,
  PAGE - 1n,
  PAGE,
  PAGE + 1n,
  0xfee0_0000n,
  0xfeef_f000n,
  (1n << 48n) - PAGE,
  1n << 48n,
  (1n << 53n) + 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  MAX - PAGE,
  MAX - PAGE + 1n,
  MAX - 1n,
  MAX,
];

const HANDLES: Readonly<Record<string, readonly Pool[]>> = {
  ctx: ['context', 'ioas'],
  ioas: ['ioas', 'hwpt', 'attached', 'context'],
  dst: ['ioas', 'hwpt'],
  src: ['ioas', 'hwpt'],
  pt: ['ioas', 'hwpt', 'attached'],
  obj: ['hwpt', 'ioas', 'attached', 'fd'],
  fd: ['fd', 'memfd', 'test buffer', 'context'],
  mem: ['memory', 'mapping', 'fd'],
  map: ['mapping', 'fd'],
  process: ['process', 'mapping'],
};

const NUMBERS = ['start', 'length', 'iova', 'offset', 'src_iova', 'dst_iova'];

/** Put one thing wrong; a command without arguments to spoil stays as it is. */
export function twist(command: Command, intent: Intent, state: State): Command {
  const way = pick(waysFor(command), intent.odd);
  return way === undefined ? command : put(command, way(command, intent, state));
}

type Fields = Record<string, unknown>;

/** What can be put in place of some argument of a command; without a value, it is left out. */
type Way<C extends Command = Command> = (command: C, intent: Intent, state: State) => Fields;

/** All ways of its arguments, then those of the command. */
function waysFor(command: Command): readonly Way[] {
  const ways: Way[] = [];
  for (const key in command) {
    if (key === 'dev' && command.do === 'mock_domain') continue;
    for (const way of OF_ARGUMENT[key] ?? NONE) ways.push(way);
  }
  for (const way of (OF_COMMAND[command.do] ?? NONE) as readonly Way[]) ways.push(way);
  return ways;
}

/** Nothing is deleted from an object, because that makes every later look at it slow. */
function put(command: Command, fields: Fields): Command {
  const whole: Fields = { ...command, ...fields };
  for (const key in fields) if (fields[key] === undefined) return present(whole) as unknown as Command;
  return whole as unknown as Command;
}

const present = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const NONE: readonly Way[] = [];

/** A handle of another kind or of nobody; and where an IOAS is meant, one of what is destroyed. */
function handleWays(key: string, pools: readonly Pool[]): readonly Way[] {
  const names = pools.flatMap(namesOf);
  const other: Way = (command, { at, from }, state) => ({
    [key]: pick(command.do === 'fd_mmap' ? names.filter(unlessMemfd(state)) : names, at + from),
  });
  const destroyed: Way = (command, { at }, state) => ({
    [key]: pick(destroyedObjects(state), at) ?? command[key as keyof Command],
  });
  return pools.includes('ioas') ? [other, destroyed] : [other];
}

const numberWays = (key: string): readonly Way[] => [
  (_, { at }) => ({ [key]: pick(EDGES, at) }),
  (command, { from }) => ({
    [key]: ((command[key as keyof Command] as unknown as bigint) + (pick(EDGES, from) as bigint)) & MAX,
  }),
];

const OF_ARGUMENT: Readonly<Record<string, readonly Way[]>> = {
  ...Object.fromEntries(Object.entries(HANDLES).map(([key, pools]) => [key, handleWays(key, pools)])),
  ...Object.fromEntries(NUMBERS.map((key) => [key, numberWays(key)])),
  dev: [(command, { at }, state) => ({ dev: someDevice(command, at, state) ?? command['dev' as keyof Command] })],
  attr: [(_, { at }) => ({ attr: at % 5 })],
  prot: [(_, { how }) => ({ prot: how % 2 === 0 ? '' : 'rw' })],
};

const flags: Way = (_, { how }) => ({ flags: how % 2 === 0 ? 8n : 1n << BigInt(3 + (how % 61)) });

/** On top of an area; or larger than any aperture, and anywhere: there is no room. A buffer is refused before that. */
const mapWays: readonly Way<Do<'ioas_map' | 'ioas_map_file'>>[] = [
  flags,
  ({ ioas }, { at }, state) => overlapping(ioas, at, state),
  ...times(4, (): Way => () => ({ iova: undefined, length: 1n << 60n })),
];
const empty: Way = () => ({ length: 0n });
const otherFile: Way<Do<'mock_revoke' | 'vfio_dmabuf_revoke' | 'vfio_dmabuf_memattr'>> = ({ fd }, { at }, state) => ({
  fd: pick([...sources(state, 'dmabuf'), ...sources(state, 'memfd')], at)?.name ?? fd,
});

const OF_COMMAND: { readonly [Name in Command['do']]?: readonly Way<Do<Name>>[] } = {
  ioas_map_file: mapWays,
  ioas_map: mapWays,
  ioas_copy: [flags, ({ src }, _, state) => anywhereElse(src, state)],
  hwpt_alloc: [flags, ({ ioas }, _, state) => ({ ioas: largestArea(state)?.name ?? ioas })],
  mem_alloc: [empty],
  memfd_create: [empty],
  ioas_allow_iovas: times(
    5,
    (way): Way =>
      (_, { at, from }) =>
        wrongRanges(way, at, from),
  ),
  mock_domain: times(
    4,
    (): Way<Do<'mock_domain'>> =>
      ({ ioas }, { at }, state) => ({ ioas: unfillable(at, state) ?? ioas }),
  ),
  mock_revoke: [otherFile, otherFile],
  munmap: [(_, { at, from }) => ({ offset: pick(EDGES, at), length: pick(EDGES, from) })],
  vfio_dmabuf_revoke: [otherFile],
  vfio_dmabuf_memattr: [otherFile],
  bar_mmap: [
    (_, { at }) => ({ region: at % 12 }),
    (command, _, state) => onePageTooMany(command, state),
    // The last page of the file of a device, whose regions are side by side.
    ({ region }) => ({ offset: MAX - PAGE + 1n - (BigInt(region) << 40n) }),
  ],
  vfio_export: [
    flags,
    ...times(
      6,
      (way): Way =>
        (_, { at, from }) =>
          wrongExport(way, at, from),
    ),
  ],
};

function times<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n));
}

/** Another device; a test device only where one may be named. */
function someDevice({ do: what }: Command, at: number, { devices, machine }: State): string | undefined {
  const any = what === 'hwpt_alloc' || what === 'mock_domain_destroy';
  return any ? pick([...devices, { name: 'md2' }], at)?.name : pick([...machine.devices.keys()], at);
}

/** It is a rule of traces that `fd_mmap` names no memfd, which can be mapped. */
const unlessMemfd =
  ({ handles }: State) =>
  (name: string): boolean =>
    handles.get(name)?.is !== 'memfd';

/** A BAR from where it was to be mapped to its end, and a page. */
function onePageTooMany({ dev, region, offset }: BarMmap, { machine }: State): Fields {
  const bar = machine.devices.get(dev)?.bars.get(region) ?? 0n;
  return { length: (bar > offset ? bar - offset : 0n) + PAGE };
}

/** On top of an area, or over its end. */
function overlapping(ioas: string, at: number, state: State): Fields {
  const areas = state.ioases.find(({ space }) => space.name === ioas)?.areas ?? [];
  const area = pick(areas, at);
  return area === undefined ? { iova: 0xfee0_0000n } : { iova: area.iova + (at % 2 === 0 ? 0n : area.length - 1n) };
}

/**
 * The largest area there is, anywhere in an IOAS that has a domain: it may be larger than any aperture, and its memory
 * may not be there.
 */
function anywhereElse(src: string, state: State): Fields {
  const largest = largestArea(state);
  if (largest === undefined) return { src };
  const translated = state.ioases.find((ioas) => domainNames(ioas).length > 0);
  const { iova: src_iova, length } = largest.area;
  return {
    src: largest.name,
    src_iova,
    length,
    dst_iova: undefined,
    ...(translated && { dst: translated.space.name }),
  };
}

/** An IOAS with an area of more memory than there is, of a memfd if there is one: no domain can be filled with it. */
function unfillable(at: number, { ioases }: State): string | undefined {
  const beyond = ({ source, offset, length }: Area): boolean => offset + length > source.length;
  const empty = ioases.filter(({ areas, domains }) => domains.length === 0 && areas.some(beyond));
  const short = empty.filter(({ areas }) => areas.some((area) => area.source.is === 'memfd' && beyond(area)));
  return (pick(short, at) ?? pick(empty, at))?.space.name;
}

function largestArea({ ioases }: State): { name: string; area: Area } | undefined {
  let largest: { name: string; area: Area } | undefined;
  for (const { space, areas } of ioases) {
    for (const area of areas) {
      if (largest === undefined || area.length > largest.area.length) largest = { name: space.name, area };
    }
  }
  return largest;
}

/** Allowed ranges that are none, that meet, or that somebody has reserved. */
function wrongRanges(way: number, at: number, from: number): Fields {
  const [a, b] = [pick(EDGES, at) as bigint, pick(EDGES, from) as bigint];
  const range = a < b ? [a, b] : [b, a];
  if (way === 0) return { ranges: [[b, a]] };
  if (way === 1) return { ranges: [range, range] };
  return { ranges: way === 2 ? [[0xfee0_0000n, 0xfeef_ffffn]] : way === 3 ? [[0n, PAGE]] : [range] };
}

/** Ranges and BARs that an export must refuse, each for a reason of its own. */
function wrongExport(way: number, at: number, from: number): Fields {
  const edges = [pick(EDGES, at), pick(EDGES, from)];
  switch (way) {
    case 0:
      return { ranges: [[MAX - PAGE + 1n, PAGE]] };
    case 1:
      return { region: at % 9 };
    case 2:
      return { ranges: [] };
    case 3:
      return { ranges: [edges] };
    case 4:
      return { ranges: [[0n, PAGE], edges] };
    default:
      return { ranges: [[PAGE, MAX - PAGE + 1n]] };
  }
}

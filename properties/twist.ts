/**
 * Deliberately wrong commands: a handle that is closed, destroyed, of another kind or of nobody; a number that is
 * misaligned, too large, or wraps; a flag that nobody knows.
 */
import type { Area, Do, State } from '../model/spec.ts';
import type { BarMmap, Command, Interval } from '../trace/command.ts';
import type { Intent } from './intents.ts';
import { destroyedObject, machineDevices, namesOf, type Pool, pick, sources } from './view.ts';

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

/** Put one thing of a new command wrong; one without arguments to spoil stays as it is. */
export function twist(command: Command, intent: Intent, state: State): Command {
  return wayOf(command, intent.odd)?.(command, intent, state) ?? command;
}

/** The command with one thing wrong. */
type Way<C extends Command = Command> = (command: C, intent: Intent, state: State) => Command;

/** Way `n` modulo their number, of all ways of its arguments and then those of the command. */
function wayOf(command: Command, n: number): Way | undefined {
  const own = WAYS_OF_COMMANDS.get(command.do) ?? NONE;
  let count = own.length;
  for (const key in command) count += waysOf(key, command).length;
  let left = n % count;
  for (const key in command) {
    const ways = waysOf(key, command);
    if (left < ways.length) return ways[left];
    left -= ways.length;
  }
  return own[left];
}

function waysOf(key: string, command: Command): readonly Way[] {
  return key === 'dev' && command.do === 'mock_domain' ? NONE : (OF_ARGUMENT.get(key) ?? NONE);
}

const NONE: readonly Way[] = [];

/** The command was made for this, and nobody else has it: it is changed as it is, which costs a tenth of a copy. */
function put<C extends Command>(command: C, key: string, value: unknown): C {
  (command as unknown as Record<string, unknown>)[key] = value;
  return command;
}

/** A handle of another kind or of nobody; and where an IOAS is meant, one of what is destroyed. */
function handleWays(key: string, pools: readonly Pool[]): readonly Way[] {
  const names = pools.flatMap(namesOf);
  const other: Way = (command, { at, from }, state) =>
    put(command, key, pick(command.do === 'fd_mmap' ? names.filter(unlessMemfd(state)) : names, at + from));
  const destroyed: Way = (command, { at }, state) => {
    const gone = destroyedObject(state, at);
    return gone === undefined ? command : put(command, key, gone);
  };
  return pools.includes('ioas') ? [other, destroyed] : [other];
}

const numberWays = (key: string): readonly Way[] => [
  (command, { at }) => put(command, key, pick(EDGES, at)),
  (command, { from }) => {
    const meant = command[key as keyof Command] as unknown as bigint;
    return put(command, key, BigInt.asUintN(64, meant + (pick(EDGES, from) as bigint)));
  },
];

/** Maps, because a name that is not known before is found quicker in one than in an object. */
const OF_ARGUMENT: ReadonlyMap<string, readonly Way[]> = new Map([
  ...Object.entries(HANDLES).map(([key, pools]) => [key, handleWays(key, pools)] as const),
  ...NUMBERS.map((key) => [key, numberWays(key)] as const),
  ...Object.entries<readonly Way[]>({
    dev: [
      (command, { at }, state) =>
        put(command, 'dev', someDevice(command, at, state) ?? command['dev' as keyof Command]),
    ],
    attr: [(command, { at }) => put(command, 'attr', at % 5)],
    prot: [(command, { how }) => put(command, 'prot', how % 2 === 0 ? '' : 'rw')],
  }),
]);

const flags: Way = (command, { how }) => put(command, 'flags', how % 2 === 0 ? 8n : 1n << BigInt(3 + (how % 61)));

/** Larger than any aperture, and anywhere: there is no room. */
const ROOMLESS = 1n << 60n;

/** On top of an area; or where there is no room. A buffer is refused before that. */
const mapWays = <C extends Do<'ioas_map' | 'ioas_map_file'>>(roomless: Way<C>): readonly Way<C>[] => [
  flags,
  (command, { at }, state) => put(command, 'iova', overlapping(command.ioas, at, state)),
  ...times(4, () => roomless),
];
const empty: Way<Do<'mem_alloc' | 'memfd_create'>> = (command) => ({ ...command, length: 0n });
const otherFile: Way<Do<'mock_revoke' | 'vfio_dmabuf_revoke' | 'vfio_dmabuf_memattr'>> = (command, { at }, state) => ({
  ...command,
  fd: pick([...sources(state, 'dmabuf'), ...sources(state, 'memfd')], at)?.name ?? command.fd,
});

const OF_COMMAND: { readonly [Name in Command['do']]?: readonly Way<Do<Name>>[] } = {
  ioas_map_file: mapWays(({ do: it, ioas, fd, start, prot }) => ({ do: it, ioas, fd, start, length: ROOMLESS, prot })),
  ioas_map: mapWays(({ do: it, ioas, mem, offset, prot }) => ({ do: it, ioas, mem, offset, length: ROOMLESS, prot })),
  ioas_copy: [flags, (command, _, state) => anywhereElse(command, state)],
  hwpt_alloc: [flags, (command, _, state) => ({ ...command, ioas: largestArea(state)?.name ?? command.ioas })],
  mem_alloc: [empty],
  memfd_create: [empty],
  ioas_allow_iovas: times(
    5,
    (way): Way<Do<'ioas_allow_iovas'>> =>
      (command, { at, from }) => ({ ...command, ranges: wrongRanges(way, at, from) }),
  ),
  mock_domain: times(
    4,
    (): Way<Do<'mock_domain'>> =>
      (command, { at }, state) => ({ ...command, ioas: unfillable(at, state) ?? command.ioas }),
  ),
  mock_revoke: [otherFile, otherFile],
  munmap: [
    (command, { at, from }) => ({ ...command, offset: pick(EDGES, at) as bigint, length: pick(EDGES, from) as bigint }),
  ],
  vfio_dmabuf_revoke: [otherFile],
  vfio_dmabuf_memattr: [otherFile],
  // The last page of any file.
  fd_mmap: times(2, () => (command) => ({ ...command, offset: MAX - PAGE + 1n })),
  bar_mmap: [
    (command, { at }) => ({ ...command, region: at % 12 }),
    (command, _, state) => onePageTooMany(command, state),
    // The last page of the file of a device, whose regions are side by side.
    (command) => ({ ...command, offset: MAX - PAGE + 1n - (BigInt(command.region) << 40n) }),
  ],
  vfio_export: [
    flags,
    ...times(
      6,
      (way): Way<Do<'vfio_export'>> =>
        (command, { at, from }) =>
          wrongExport(command, way, at, from),
    ),
  ],
};

const WAYS_OF_COMMANDS: ReadonlyMap<string, readonly Way[]> = new Map(
  Object.entries(OF_COMMAND as Readonly<Record<string, readonly Way[]>>),
);

function times<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n));
}

/** Another device; a test device only where one may be named. */
function someDevice({ do: what }: Command, at: number, state: State): string | undefined {
  const any = what === 'hwpt_alloc' || what === 'mock_domain_destroy';
  return (any ? pick([...state.devices, { name: 'md2' }], at) : pick(machineDevices(state), at))?.name;
}

/** It is a rule of traces that `fd_mmap` names no memfd, which can be mapped. */
const unlessMemfd =
  ({ handles }: State) =>
  (name: string): boolean =>
    handles.get(name)?.is !== 'memfd';

/** A BAR from where it was to be mapped to its end, and a page. */
function onePageTooMany(command: BarMmap, { machine }: State): Command {
  const { dev, region, offset } = command;
  const bar = machine.devices.get(dev)?.bars.get(region) ?? 0n;
  return { ...command, length: (bar > offset ? bar - offset : 0n) + PAGE };
}

/** On top of an area, or over its end. */
function overlapping(ioas: string, at: number, state: State): bigint {
  const areas = state.ioases.find(({ space }) => space.name === ioas)?.areas ?? [];
  const area = pick(areas, at);
  return area === undefined ? 0xfee0_0000n : area.iova + (at % 2 === 0 ? 0n : area.length - 1n);
}

/**
 * The largest area there is, anywhere in an IOAS that has a domain: it may be larger than any aperture, and its memory
 * may not be there.
 */
function anywhereElse(command: Do<'ioas_copy'>, state: State): Command {
  const largest = largestArea(state);
  if (largest === undefined) return command;
  const { iova: src_iova, length } = largest.area;
  const dst = state.ioases.find(({ domains }) => domains.length > 0)?.space.name ?? command.dst;
  return { do: 'ioas_copy', dst, src: largest.name, src_iova, length, prot: command.prot };
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
function wrongRanges(way: number, at: number, from: number): Interval[] {
  const [a, b] = [pick(EDGES, at) as bigint, pick(EDGES, from) as bigint];
  const range: Interval = a < b ? [a, b] : [b, a];
  if (way === 0) return [[b, a]];
  if (way === 1) return [range, range];
  return way === 2 ? [[0xfee0_0000n, 0xfeef_ffffn]] : way === 3 ? [[0n, PAGE]] : [range];
}

/** Ranges and BARs that an export must refuse, each for a reason of its own. */
function wrongExport(command: Do<'vfio_export'>, way: number, at: number, from: number): Command {
  const edges = [pick(EDGES, at) as bigint, pick(EDGES, from) as bigint] as const;
  switch (way) {
    case 0:
      return { ...command, ranges: [[MAX - PAGE + 1n, PAGE]] };
    case 1:
      return { ...command, region: at % 9 };
    case 2:
      return { ...command, ranges: [] };
    case 3:
      return { ...command, ranges: [edges] };
    case 4:
      return { ...command, ranges: [[0n, PAGE], edges] };
    default:
      return { ...command, ranges: [[PAGE, MAX - PAGE + 1n]] };
  }
}

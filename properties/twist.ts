/**
 * Deliberately wrong commands: a handle that is closed, destroyed, of another kind or of nobody; a number that is
 * misaligned, too large, or wraps; a flag that nobody knows.
 */
import type { Area, State } from '../model/spec.ts';
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

const NUMBERS = new Set(['start', 'length', 'iova', 'offset', 'src_iova', 'dst_iova']);

/** Put one thing wrong; a command without arguments to spoil is given a name that stands for nothing. */
export function twist(command: Command, intent: Intent, state: State): Command {
  const way = pick(waysFor(command, intent, state), intent.odd)?.();
  if (way === undefined) return command;
  const twisted: Fields = { ...command };
  for (const key in way) {
    if (way[key] === undefined) delete twisted[key];
    else twisted[key] = way[key];
  }
  return twisted as unknown as Command;
}

type Fields = Record<string, unknown>;

/** What can be put in place of an argument, of which one is worked out; without a value, it is left out. */
function waysFor(command: Command, { at, from, how }: Intent, state: State): (() => Fields)[] {
  const ways: (() => Fields)[] = [];
  for (const key in command) {
    const value: unknown = command[key as keyof Command];
    const pools = HANDLES[key];
    if (pools !== undefined) {
      ways.push(() => ({ [key]: pick(pools.flatMap(namesOf).filter(mayBe(command, state)), at + from) }));
      if (pools.includes('ioas')) ways.push(() => ({ [key]: pick(destroyedObjects(state), at) ?? value }));
    }
    if (key === 'dev' && command.do !== 'mock_domain')
      ways.push(() => ({ dev: someDevice(command, at, state) ?? value }));
    if (NUMBERS.has(key) && typeof value === 'bigint') {
      ways.push(() => ({ [key]: pick(EDGES, at) }));
      ways.push(() => ({ [key]: (value + (pick(EDGES, from) as bigint)) & MAX }));
    }
    if (key === 'attr') ways.push(() => ({ attr: at % 5 }));
    if (key === 'prot') ways.push(() => ({ prot: how % 2 === 0 ? '' : 'rw' }));
  }
  if ('prot' in command || command.do === 'hwpt_alloc' || command.do === 'vfio_export') {
    ways.push(() => ({ flags: how % 2 === 0 ? 8n : 1n << BigInt(3 + (how % 61)) }));
  }
  if (command.do === 'ioas_map_file' || command.do === 'ioas_map') {
    ways.push(() => overlapping(command.ioas, at, state));
    // Larger than any aperture, and anywhere: there is no room. A buffer is refused before, for its size.
    for (let i = 0; i < 4; i++) ways.push(() => ({ iova: undefined, length: 1n << 60n }));
  }
  if (command.do === 'ioas_copy') ways.push(() => anywhereElse(command.src, state));
  if (command.do === 'hwpt_alloc') ways.push(() => ({ ioas: largestArea(state)?.name ?? command.ioas }));
  if (command.do === 'mem_alloc' || command.do === 'memfd_create') ways.push(() => ({ length: 0n }));
  if (command.do === 'ioas_allow_iovas') for (let way = 0; way < 5; way++) ways.push(() => wrongRanges(way, at, from));
  if (command.do === 'mock_domain') {
    for (let i = 0; i < 4; i++) ways.push(() => ({ ioas: unfillable(at, state) ?? command.ioas }));
  }
  if (command.do === 'mock_revoke') {
    const files = [...sources(state, 'dmabuf'), ...sources(state, 'memfd')];
    for (let i = 0; i < 2; i++) ways.push(() => ({ fd: pick(files, at)?.name ?? command.fd }));
  }
  if (command.do === 'munmap') ways.push(() => ({ offset: pick(EDGES, at), length: pick(EDGES, from) }));
  if (command.do === 'vfio_dmabuf_revoke' || command.do === 'vfio_dmabuf_memattr') {
    const files = [...sources(state, 'dmabuf'), ...sources(state, 'memfd')];
    ways.push(() => ({ fd: pick(files, at)?.name ?? command.fd }));
  }
  if (command.do === 'bar_mmap') {
    ways.push(() => ({ region: at % 12 }));
    ways.push(() => onePageTooMany(command, state));
    // The last page of the file of a device, whose regions are side by side.
    ways.push(() => ({ offset: MAX - PAGE + 1n - (BigInt(command.region) << 40n) }));
  }
  if (command.do === 'vfio_export') for (let way = 0; way < 6; way++) ways.push(() => wrongExport(way, at, from));
  return ways;
}

/** Another device; a test device only where one may be named. */
function someDevice({ do: what }: Command, at: number, { devices, machine }: State): string | undefined {
  const any = what === 'hwpt_alloc' || what === 'mock_domain_destroy';
  return any ? pick([...devices, { name: 'md2' }], at)?.name : pick([...machine.devices.keys()], at);
}

/** It is a rule of traces that `fd_mmap` names no memfd, which can be mapped. */
const mayBe =
  ({ do: what }: Command, { handles }: State) =>
  (name: string): boolean =>
    what !== 'fd_mmap' || handles.get(name)?.is !== 'memfd';

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

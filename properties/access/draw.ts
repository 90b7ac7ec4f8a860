/**
 * How fast-check draws sequences with accesses: a record of small numbers, made into a step that means something in the
 * state that the oracle is in.
 */
import * as fc from 'fast-check';
import type { Command, Handle, Prot } from '../../trace/command.ts';
import { pick } from '../view.ts';
import { type Accessor, type Area, domainsOf, meets, type Oracle, P, type Space } from './oracle.ts';
import { FIXED_IOVA_BASE, MEMORIES, SPACES } from './scene.ts';
import type { Rw, Step } from './step.ts';

/** How often each step is meant, of 100. */
const MIX: readonly (readonly [string, number])[] = [
  ['pin', 20],
  ['rw', 15],
  ['map', 10],
  ['map_file', 9],
  ['copy', 8],
  ['create', 7],
  ['unmap', 6],
  ['unpin', 5],
  ['attach', 3],
  ['detach', 2],
  ['hwpt', 3],
  ['replace', 4],
  ['queue', 4],
  ['close', 1],
  ['destroy', 1],
  ['memory', 1],
  ['change process', 1],
];
const WEIGHTED = MIX.flatMap(([what, weight]) => Array<string>(weight).fill(what));

export interface Draw {
  readonly what: number;
  readonly pick: number;
  readonly at: number;
  readonly from: number;
  readonly size: number;
  readonly how: number;
}

const field = fc.nat(1023);
export const draws = (longest: number): fc.Arbitrary<Draw[]> =>
  fc.array(
    fc.record({ what: fc.nat(WEIGHTED.length - 1), pick: field, at: field, from: field, size: field, how: field }),
    { maxLength: longest, size: 'max' },
  );

const PROTS: readonly Prot[] = ['rw', 'rw', 'rw', 'r', 'w'];
const prot = (n: number): Prot => PROTS[n % PROTS.length] as Prot;

/** Mostly whole pages, sometimes half of one more or less, or a few bytes. */
const ragged = (n: number): number => (n % 32 === 31 ? 0x10 : n % 12 === 11 ? 0x800 : 0);
const slot = ({ at, how }: Draw): number => FIXED_IOVA_BASE + (at % 24) * P + ragged(how >> 5);
const fixed = (draw: Draw): { iova?: bigint } => (draw.at % 7 === 6 ? {} : { iova: BigInt(slot(draw)) });

/** The step of a draw; undefined when there is nothing that it could be about. */
export function stepOf(draw: Draw, oracle: Oracle): Step | undefined {
  const space = pick(oracle.spaces, draw.pick);
  if (space === undefined) return { do: 'command', command: { do: 'ioas_alloc', ctx: 'ctx', as: 'a0' } };
  const what = WEIGHTED[draw.what] as string;
  const command = commandOf(what, draw, oracle, space);
  if (command !== undefined) return { do: 'command', command };
  if (what === 'create' || what === 'queue') return newAccess(what, draw, oracle, space);
  if (what === 'change process') return { do: 'change process' };
  if (draw.how % 128 === 127) return oddOf(draw, oracle);
  const access = pick(oracle.accesses.filter(able(what)), draw.pick);
  return access === undefined ? newAccess('create', draw, oracle, space) : ofAccess(what, draw, oracle, access);
}

function commandOf(what: string, draw: Draw, oracle: Oracle, space: Space): Command | undefined {
  const ioas = space.name;
  const dev = draw.at % 2 === 0 ? 'dev0' : 'dev1';
  switch (what) {
    case 'map':
    case 'map_file':
      return mapOf(what, draw, ioas);
    case 'copy':
      return copyOf(draw, oracle, ioas);
    case 'unmap':
      return { do: 'ioas_unmap', ioas, ...unmapRange(draw, oracle, space) };
    case 'attach':
      return { do: 'vfio_attach', dev, pt: ioas };
    case 'detach':
      return { do: 'vfio_detach', dev };
    case 'hwpt': {
      const as = ['h0', 'h1'].find((name) => !oracle.spaces.some(({ hwpts }) => hwpts.has(name)));
      return as === undefined ? destroyOf(draw, space) : { do: 'hwpt_alloc', dev, ioas, as };
    }
    case 'destroy':
      return destroyOf(draw, space);
    case 'memory':
      return { do: 'vfio_memory', dev: 'dev0', enable: draw.how % 3 !== 0 };
    default:
      return undefined;
  }
}

function destroyOf({ how }: Draw, { name, hwpts }: Space): Command {
  return { do: 'destroy', obj: how % 4 === 0 ? name : (pick([...hwpts], how) ?? name) };
}

function mapOf(what: 'map' | 'map_file', draw: Draw, ioas: Handle): Command {
  const { from, size, how } = draw;
  const rest = { ioas, length: BigInt(((size % 4) + 1) * P - ragged(size >> 3)), prot: prot(how), ...fixed(draw) };
  const start = BigInt((from % 4) * P + ragged(from >> 3));
  if (what === 'map') return { do: 'ioas_map', mem: from % 8 < 5 ? 'm0' : 'm1', offset: start, ...rest };
  const fd = pick(
    MEMORIES.filter(({ kind }) => kind !== 'user'),
    from >> 6,
  );
  return { do: 'ioas_map_file', fd: fd?.name ?? 'b0', start, ...rest };
}

function copyOf(draw: Draw, { spaces }: Oracle, dst: Handle): Command | undefined {
  const src = pick(
    spaces.filter(({ areas }) => areas.length > 0),
    draw.from,
  );
  if (src === undefined) return undefined;
  const { iova, length } = rangeIn(draw, pick(src.areas, draw.size) as Area);
  const { iova: at } = fixed({ ...draw, at: draw.at + 7 });
  const where = at === undefined ? {} : { dst_iova: at };
  return {
    do: 'ioas_copy',
    dst,
    src: src.name,
    src_iova: iova,
    length: BigInt(length),
    prot: prot(draw.how),
    ...where,
  };
}

/** Whole pages of the area, from its start or later, and at times beyond its end. */
function rangeIn({ from, size }: Draw, { iova, length }: Area): { iova: bigint; length: number } {
  const pages = Math.max(1, Math.ceil(length / P));
  const skip = from % 3 === 0 ? (from >> 3) % pages : 0;
  return {
    iova: BigInt(iova + skip * P),
    length: size % 3 === 0 ? Math.max(1, length - skip * P) : (((size >> 3) % 4) + 1) * P,
  };
}

function unmapRange(draw: Draw, { accesses }: Oracle, space: Space): { iova: bigint; length: bigint } {
  const pins = accesses.filter((access) => access.space === space).flatMap((access) => [...access.pins.values()]);
  // Half of the time it is an area that some access holds.
  const pin = draw.size % 2 === 0 ? pick(pins, draw.from) : undefined;
  const area = space.areas.find((it) => pin !== undefined && meets(it, pin)) ?? pick(space.areas, draw.from);
  if (area === undefined || draw.how % 16 === 0) return { iova: 0n, length: (1n << 64n) - 1n };
  const exact = { iova: BigInt(area.iova), length: BigInt(area.length) };
  if (draw.how % 4 > 0) return exact;
  // From inside the area, to its end and beyond, or from below.
  return draw.size % 2 === 0
    ? { iova: exact.iova + 0x800n, length: exact.length }
    : { iova: exact.iova - 0x1000n, length: exact.length + 0x4000n };
}

function newAccess(what: 'create' | 'queue', draw: Draw, { accesses }: Oracle, space: Space): Step | undefined {
  const as = ['x0', 'x1', 'x2', 'x3'].find((name) => !accesses.some((access) => access.name === name));
  if (as === undefined) return undefined;
  if (what === 'create') return { do: 'create', as, pins: draw.how % 4 !== 3, space: space.name };
  const area = pick(space.areas, draw.from);
  return area && { do: 'queue', as, space: space.name, ...rangeIn(draw, area) };
}

/** Which accesses a step can be about. */
function able(what: string): (access: Accessor) => boolean {
  const [pinning, attached, holding] = [
    what === 'pin' || what === 'unpin',
    what === 'pin' || what === 'rw',
    what === 'unpin',
  ];
  return ({ kind, space, pins }) => {
    if (what !== 'close' && kind === 'queue') return false;
    if (pinning && kind !== 'pin') return false;
    return !(attached && (space?.areas ?? []).length === 0) && !(holding && pins.size === 0);
  };
}

function ofAccess(what: string, draw: Draw, { spaces }: Oracle, it: Accessor): Step | undefined {
  const access = it.name;
  const space = pick(spaces, draw.at)?.name ?? 'a0';
  switch (what) {
    case 'close':
      return { do: 'close', access };
    case 'replace':
      return { do: draw.how % 3 === 0 ? 'reattach' : 'replace', access, space: draw.how % 16 === 15 ? 'gone' : space };
    case 'unpin':
      return { do: 'unpin', access, id: draw.how % 6 === 0 ? 99 : (pick([...it.pins.keys()], draw.from) ?? 99) };
  }
  const area = pick(it.space?.areas ?? [], draw.at);
  if (area === undefined) return undefined;
  const range = rangeIn(draw, area);
  if (what === 'pin' && it.kind === 'pin')
    return { do: 'pin', access, write: draw.how % 2 === 0, ...wrong(draw, range) };
  const caller = (['own', 'other', 'thread'] as const)[draw.how % 3] as Rw['caller'];
  const how = { write: (draw.how >> 2) % 2 === 0, slow: (draw.how >> 3) % 4 === 0, caller };
  const iova = range.iova + BigInt((draw.size >> 4) % P);
  return { do: 'rw', access, ...how, ...wrong(draw, { iova, length: ((draw.size * 37) % 0x2400) + 1 }) };
}

/** One range in twelve is wrong: nothing, a byte more, or beyond the end of everything. */
function wrong({ pick: n }: Draw, range: { iova: bigint; length: number }): { iova: bigint; length: number } {
  if (n % 12 !== 0) return range;
  if (n % 36 === 0) return { ...range, length: 0 };
  return n % 24 === 0 ? { iova: (1n << 64n) - 1n, length: 2 } : { ...range, iova: range.iova + 1n };
}

/** What happens seldom: a user tries to destroy an access, a new IOAS, the end of the process. */
function oddOf({ pick: n, at: how }: Draw, { spaces, accesses }: Oracle): Step | undefined {
  if (how % 4 === 0) return { do: 'exit' };
  const access = pick(accesses, n)?.name;
  if (how % 2 === 0 && access !== undefined) return { do: 'destroy', access };
  const as = SPACES.find((name) => !spaces.some((space) => space.name === name && domainsOf(space).length >= 0));
  return as === undefined ? undefined : { do: 'command', command: { do: 'ioas_alloc', ctx: 'ctx', as } };
}

/**
 * Intents about areas: where to map what, what to copy, what to unmap. Undefined while there is nothing to do it with.
 */
import { revoked } from '../../model/buffers.ts';
import type { Area, Ioas, Source, State } from '../../model/spec.ts';
import type { Command, Prot } from '../../trace/command.ts';
import { domainNames } from '../changes.ts';
import type { Intent } from '../intents.ts';
import { boundDevices, ownMappings, pick, someArea, sources, testDevices, usableIoases } from '../view.ts';
import { mockDomainOf } from './mock.ts';

const PAGE = 0x1000n;
const MAX = (1n << 64n) - 1n;
/** Where fixed areas go: pages of a window above 16 MiB, so that they meet and adjoin; large ones at 2 MiB. */
export const WINDOW = 0x100_0000n;
const WINDOW_PAGES = 64;
const HUGE = 0x20_0000n;

const PROTS: readonly Prot[] = ['rw', 'rw', 'rw', 'r', 'rw', 'w', 'rw', 'rw'];

/** The IOAS meant, and the smallest step in it: what alignment allows, and mostly a page. */
function target(intent: Intent, state: State): { ioas: Ioas; unit: bigint } | undefined {
  const ioas = pick(usableIoases(state), intent.pick);
  return ioas && { ioas, unit: unitOf(ioas, intent, state) };
}

function unitOf(ioas: Ioas, { size }: Intent, state: State): bigint {
  if (size % 32 === 31 && domainNames(ioas).length === 0) return 1n;
  return size % 2 === 1 ? state.machine.grain : PAGE;
}

export function mapFileOf(intent: Intent, state: State): Command | undefined {
  const to = target(intent, state);
  if (to === undefined || boundDevices(state).length + testDevices(state).length === 0) return undefined;
  const unseen = domainNames(to.ioas).length === 0;
  const memfd =
    intent.how % (unseen ? 4 : 16) === (unseen ? 3 : 9) ? pick(sources(state, 'memfd'), intent.from) : undefined;
  const file = memfd ?? someBuffer(intent, state);
  if (file === undefined) return undefined;
  if ('do' in file) return file;
  const attach = intent.how % 4 === 1 && unseen;
  const attached = attach ? attachSome(to.ioas, intent, state) : undefined;
  if (attached !== undefined) return attached;
  // Without a domain nobody looks at a memfd: it may be too short.
  const blind = memfd !== undefined && intent.size % 4 >= 2 && unseen;
  const [start, length] = blind ? [0n, memfd.source.length + PAGE] : slice(file.source.length, intent, to.unit);
  const iova = placeFor(to.ioas, length, intent, to.unit);
  const prot = PROTS[(intent.how >> 4) % PROTS.length] as Prot;
  return { do: 'ioas_map_file', ioas: to.ioas.space.name, fd: file.name, start, length, prot, ...iova };
}

function attachSome({ space }: Ioas, intent: Intent, state: State): Command | undefined {
  const device = pick(
    boundDevices(state).filter(({ context }) => context === space.context),
    intent.pick >> 3,
  );
  if (device === undefined) return state.machine.devices.size === 0 ? mockDomainOf(intent, state) : undefined;
  return { do: 'vfio_attach', dev: device.name, pt: space.name };
}

/** Mostly a buffer that can be mapped: its device answers, and was not closed since. If there is none, what helps. */
function someBuffer({ from, how }: Intent, state: State): { name: string; source: Source } | Command | undefined {
  const all = sources(state, 'dmabuf');
  const usable = all.filter(({ source }) => source.ranges.length < 2 && !revoked(state, source));
  const any = pick(all, from >> 4);
  if (how % 8 === 5 || any === undefined) return any;
  return pick(usable, from >> 4) ?? remedy(any, state);
}

/** What makes a buffer usable again: a restore, memory, power, or another buffer in its place. */
function remedy({ name, source }: { name: string; source: Source }, { devices, takenBack }: State): Command {
  if (source.owner === undefined) return { do: 'mock_revoke', fd: name, revoked: false };
  const device = devices.find(({ holder }) => holder !== undefined && holder === source.owner);
  if (device === undefined || source.ranges.length > 1 || takenBack.includes(source))
    return { do: 'fd_close', fd: name };
  if (device.lowPower) return { do: 'vfio_low_power_exit', dev: device.name };
  if (device.power !== 0) return { do: 'vfio_power', dev: device.name, state: 0 };
  return { do: 'vfio_memory', dev: device.name, enable: true };
}

/** A part of `total` bytes: some units from somewhere on, or all of it. */
function slice(total: bigint, { from, size }: Intent, unit: bigint): [start: bigint, length: bigint] {
  if (size > 1000) return [0n, total];
  const units = total / unit;
  if (units <= 1n) return [0n, total];
  const start = BigInt(from % 16) % units;
  const left = units - start;
  const wanted = 1n + (BigInt(size >> 3) % 4n);
  return [start * unit, (wanted < left ? wanted : left) * unit];
}

/** Nothing, for an automatic IOVA; else a free place near the one that the intent says. */
function placeFor({ areas }: Ioas, length: bigint, { at, how }: Intent, unit: bigint): { iova?: bigint } {
  if (how % 4 === 2) return {};
  const step = length >= HUGE ? HUGE : unit;
  let iova = length >= HUGE ? HUGE * BigInt(16 + (at % 16)) : WINDOW + PAGE * BigInt(at % WINDOW_PAGES);
  if (unit < PAGE) iova += unit * BigInt(at % 3);
  let top = iova + length;
  for (const area of areas) {
    if (area.iova >= top) break; // The areas are ascending.
    const end = area.iova + area.length;
    if (iova >= end) continue;
    iova = ((end + step - 1n) / step) * step;
    top = iova + length;
  }
  return { iova };
}

export function mapOf(intent: Intent, state: State): Command | undefined {
  const to = target(intent, state);
  // What the CPU maps of a BAR is no memory that can be pinned.
  const bar = intent.how % 16 === 13 ? pick(ownMappings(state), intent.from) : undefined;
  const mem = bar ?? pick(sources(state, 'memory'), intent.from >> 4);
  if (to === undefined || mem === undefined) return undefined;
  const prot = PROTS[(intent.how >> 4) % PROTS.length] as Prot;
  // Without a domain nobody looks at the memory: it may end too early, or be larger than any aperture.
  const blind = intent.how % 8 >= 6 && domainNames(to.ioas).length === 0;
  const [offset, length] = blind
    ? [mem.source.length - PAGE, intent.size % 2 === 0 ? 2n * PAGE : 1n << 60n]
    : slice(mem.source.length, intent, to.unit);
  const iova = placeFor(to.ioas, length, intent, to.unit);
  return { do: 'ioas_map', ioas: to.ioas.space.name, mem: mem.name, offset, length, prot, ...iova };
}

/** A copy of a whole area, of a part of it, or of it and its neighbour if they adjoin. */
export function copyOf(intent: Intent, state: State): Command | undefined {
  const found = someArea(state, intent.from);
  if (found === undefined) return undefined;
  const { ioas, area } = found;
  const dsts = usableIoases(state).filter(({ space }) => space.context === ioas.space.context);
  const dst = pick(dsts, intent.pick) ?? ioas;
  const [src_iova, length] = sourceRange(ioas, area, intent, unitOf(dst, intent, state));
  const { iova } = placeFor(dst, length, intent, unitOf(dst, intent, state));
  const prot: Prot = area.writable && intent.how % 8 !== 3 ? 'rw' : 'r';
  return {
    do: 'ioas_copy',
    dst: dst.space.name,
    src: ioas.space.name,
    src_iova,
    length,
    prot,
    ...(iova !== undefined && { dst_iova: iova }),
  };
}

function sourceRange({ areas }: Ioas, area: Area, intent: Intent, unit: bigint): [iova: bigint, length: bigint] {
  const after = areas.find(({ iova }) => iova === area.iova + area.length);
  if (after !== undefined && intent.size % 4 === 0) return [area.iova, area.length + after.length];
  if (intent.size % 4 === 1 && area.length > unit) {
    const [start, length] = slice(area.length, intent, unit);
    return [area.iova + start, length];
  }
  return [area.iova, area.length];
}

/** One area; or with its neighbours, and the gaps between; or, now and then, everything. */
export function unmapOf(intent: Intent, state: State): Command | undefined {
  const found = someArea(state, intent.from);
  if (found === undefined) return undefined;
  const { ioas, area } = found;
  const name = ioas.space.name;
  if (intent.at < 8) return { do: 'ioas_unmap', ioas: name, iova: 0n, length: MAX };
  const last = intent.size % 8 === 7 ? (pick(ioas.areas, intent.at) as Area) : area;
  const [low, high] = last.iova < area.iova ? [last, area] : [area, last];
  return { do: 'ioas_unmap', ioas: name, iova: low.iova, length: high.iova + high.length - low.iova };
}

/** Somewhere in an area, or just before or after it; what a device may try to read. */
export function iovaOf(intent: Intent, state: State): bigint {
  const found = someArea(state, intent.from);
  if (found === undefined) return WINDOW;
  const { iova, length } = found.area;
  const places = [iova, iova + (length / 2n / 4n) * 4n, iova + length - 4n, iova + length, iova - 4n];
  const at = places[intent.at % places.length] as bigint;
  return at >= 0n && at <= MAX ? at - (at % 4n) : 0n;
}

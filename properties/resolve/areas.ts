/**
 * Intents about areas: where to map what, what to copy, what to unmap. Undefined while there is nothing to do it with.
 */
import { revoked } from '../../model/buffers.ts';
import { placeOf } from '../../model/iova.ts';
import type { Area, Ioas, State } from '../../model/spec.ts';
import type { Command, Prot } from '../../trace/command.ts';
import type { Intent } from '../intents.ts';
import {
  isBound,
  isTestDevice,
  type NamedSource,
  ownMappings,
  pick,
  pickOf,
  someArea,
  sources,
  usableIoases,
} from '../view.ts';
import { mockDomainOf } from './mock.ts';

/** What is drawn is small; it becomes a bigint when it is in a command. */
const PAGE = 0x1000;
const MAX = (1n << 64n) - 1n;
/** Where fixed areas go: pages of a window above 16 MiB, so that they meet and adjoin; large ones at 2 MiB. */
export const WINDOW = 0x100_0000;
const WINDOW_PAGES = 64;
const HUGE = 0x20_0000;

const PROTS: readonly Prot[] = ['rw', 'rw', 'rw', 'r', 'rw', 'w', 'rw', 'rw'];

/** The IOAS meant, and the smallest step in it: what alignment allows, and mostly a page. */
function target(intent: Intent, state: State): { ioas: Ioas; unit: number } | undefined {
  const ioas = pick(usableIoases(state), intent.pick);
  return ioas && { ioas, unit: unitOf(ioas, intent, state) };
}

function unitOf({ domains }: Ioas, { size }: Intent, { machine }: State): number {
  if (size % 32 === 31 && domains.length === 0) return 1;
  return size % 2 === 1 ? Number(machine.grain) : PAGE;
}

export function mapFileOf(intent: Intent, state: State): Command | undefined {
  const to = target(intent, state);
  if (to === undefined || !state.devices.some((it) => isBound(it) || isTestDevice(it, state))) return undefined;
  const unseen = to.ioas.domains.length === 0;
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
  const [start, length] = blind ? [0n, memfd.source.length + BigInt(PAGE)] : slice(file.source.length, intent, to.unit);
  const prot = PROTS[(intent.how >> 4) % PROTS.length] as Prot;
  const command = { do: 'ioas_map_file', ioas: to.ioas.space.name, fd: file.name, start, length, prot } as const;
  const iova = placeFor(to.ioas, length, intent, to.unit);
  return iova === undefined ? command : { ...command, iova };
}

function attachSome({ space }: Ioas, intent: Intent, state: State): Command | undefined {
  const device = pickOf(state.devices, intent.pick >> 3, (it) => isBound(it) && it.context === space.context);
  if (device === undefined) return state.machine.devices.size === 0 ? mockDomainOf(intent, state) : undefined;
  return { do: 'vfio_attach', dev: device.name, pt: space.name };
}

/** Mostly a buffer that can be mapped: its device answers, and was not closed since. If there is none, what helps. */
function someBuffer({ from, how }: Intent, state: State): NamedSource | Command | undefined {
  const all = sources(state, 'dmabuf');
  const any = pick(all, from >> 4);
  if (how % 8 === 5 || any === undefined) return any;
  const usable = ({ source }: NamedSource): boolean => source.ranges.length < 2 && !revoked(state, source);
  return pickOf(all, from >> 4, usable) ?? remedy(any, state);
}

/** What makes a buffer usable again: a restore, memory, power, or another buffer in its place. */
function remedy({ name, source }: NamedSource, { devices, takenBack }: State): Command {
  if (source.owner === undefined) return { do: 'mock_revoke', fd: name, revoked: false };
  const device = devices.find(({ holder }) => holder !== undefined && holder === source.owner);
  if (device === undefined || source.ranges.length > 1 || takenBack.includes(source))
    return { do: 'fd_close', fd: name };
  if (device.lowPower) return { do: 'vfio_low_power_exit', dev: device.name };
  if (device.power !== 0) return { do: 'vfio_power', dev: device.name, state: 0 };
  return { do: 'vfio_memory', dev: device.name, enable: true };
}

/** A part of `total` bytes: some units from somewhere on, or all of it. */
function slice(total: bigint, { from, size }: Intent, unit: number): [start: bigint, length: bigint] {
  if (size > 1000) return [0n, total];
  // Not exact for very many, but only the first few are used.
  const units = Math.floor(Number(total) / unit);
  if (units <= 1) return [0n, total];
  const start = (from % 16) % units;
  const count = Math.min(1 + ((size >> 3) % 4), units - start);
  return [BigInt(start * unit), BigInt(count * unit)];
}

/** None, for an automatic IOVA; else a free place near the one that the intent says. */
function placeFor({ areas }: Ioas, length: bigint, { at, how }: Intent, unit: number): bigint | undefined {
  if (how % 4 === 2) return undefined;
  const huge = length >= HUGE;
  const aside = unit < PAGE ? unit * (at % 3) : 0;
  let iova = BigInt((huge ? HUGE * (16 + (at % 16)) : WINDOW + PAGE * (at % WINDOW_PAGES)) + aside);
  let top = iova + length;
  for (let i = placeOf(areas, iova); i < areas.length; i++) {
    const area = areas[i] as Area;
    if (area.iova >= top) break; // The areas are ascending.
    const end = area.iova + area.length;
    if (iova >= end) continue;
    const step = BigInt(huge ? HUGE : unit);
    iova = ((end + step - 1n) / step) * step;
    top = iova + length;
  }
  // Behind what ends at the very end of the address space comes its beginning.
  return BigInt.asUintN(64, iova);
}

export function mapOf(intent: Intent, state: State): Command | undefined {
  const to = target(intent, state);
  // What the CPU maps of a BAR is no memory that can be pinned.
  const bar = intent.how % 16 === 13 ? pick(ownMappings(state), intent.from) : undefined;
  const mem = bar ?? pick(sources(state, 'memory'), intent.from >> 4);
  if (to === undefined || mem === undefined) return undefined;
  const prot = PROTS[(intent.how >> 4) % PROTS.length] as Prot;
  // Without a domain nobody looks at the memory: it may end too early, or be larger than any aperture.
  const blind = intent.how % 8 >= 6 && to.ioas.domains.length === 0;
  const [offset, length] = blind
    ? [mem.source.length - BigInt(PAGE), intent.size % 2 === 0 ? BigInt(2 * PAGE) : 1n << 60n]
    : slice(mem.source.length, intent, to.unit);
  const command = { do: 'ioas_map', ioas: to.ioas.space.name, mem: mem.name, offset, length, prot } as const;
  const iova = placeFor(to.ioas, length, intent, to.unit);
  return iova === undefined ? command : { ...command, iova };
}

/** A copy of a whole area, of a part of it, or of it and its neighbour if they adjoin. */
export function copyOf(intent: Intent, state: State): Command | undefined {
  const found = someArea(state, intent.from);
  if (found === undefined) return undefined;
  const { ioas, area } = found;
  const { context } = ioas.space;
  const dst = pickOf(usableIoases(state), intent.pick, ({ space }) => space.context === context) ?? ioas;
  const unit = unitOf(dst, intent, state);
  const [src_iova, length] = sourceRange(ioas, area, intent, unit);
  const prot: Prot = area.writable && intent.how % 8 !== 3 ? 'rw' : 'r';
  const command = { do: 'ioas_copy', dst: dst.space.name, src: ioas.space.name, src_iova, length, prot } as const;
  const dst_iova = placeFor(dst, length, intent, unit);
  return dst_iova === undefined ? command : { ...command, dst_iova };
}

function sourceRange({ areas }: Ioas, area: Area, intent: Intent, unit: number): [iova: bigint, length: bigint] {
  const { iova, length } = area;
  const after = intent.size % 4 === 0 ? areas[areas.indexOf(area) + 1] : undefined;
  if (after?.iova === iova + length) return [iova, length + after.length];
  if (intent.size % 4 === 1 && length > unit) {
    const [start, part] = slice(length, intent, unit);
    return [iova + start, part];
  }
  return [iova, length];
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
  if (found === undefined) return BigInt(WINDOW);
  const at = placeAt(found.area, intent.at % 5);
  return at >= 0n && at <= MAX ? at - (at % 4n) : 0n;
}

function placeAt({ iova, length }: Area, n: number): bigint {
  if (n === 0) return iova;
  if (n === 1) return iova + (length / 2n / 4n) * 4n;
  if (n === 2) return iova + length - 4n;
  return n === 3 ? iova + length : iova - 4n;
}

/** Intents of what processes map of BARs and buffers, and read through it; and of the processes themselves. */
import type { Mapping, State } from '../../model/spec.ts';
import type { Command, Interval } from '../../trace/command.ts';
import type { Intent } from '../intents.ts';
import { freeName, largestBar, pagesIn, pick, pickOf, sources } from '../view.ts';
import { lacksSeries } from './power.ts';

const PAGE = 0x1000;

/** Some pages of the largest BAR of an open device, bound or not: its first, its last, or others. */
export function barMmapOf({ pick: n, from, size, how }: Intent, state: State): Command | undefined {
  const as = freeName(state, 'mapping');
  const device = pickOf(state.devices, n, ({ opening }) => opening !== undefined);
  if (as === undefined || device === undefined) return undefined;
  const [region, bar] = largestBar(device.config);
  const pages = pagesIn(bar);
  const places = [0, Math.max(0, pages - 1 - (size % 8)), from % Math.max(pages, 1)];
  const first = places[how % 3] as number;
  const count = 1 + (size % Math.max(1, Math.min(pages - first, 8)));
  return { do: 'bar_mmap', dev: device.name, region, offset: BigInt(first * PAGE), length: BigInt(count * PAGE), as };
}

/**
 * An offset inside what is left of a mapping, of any process; the last that can be read, now and then, or a hole. What
 * was cut comes first: its end must still show what it showed.
 */
export function peekOf({ pick: n, from, how }: Intent, state: State): Command | undefined {
  const mapping = (how % 4 < 2 ? pickOf(state.mappings, n, isCut) : undefined) ?? pick(state.mappings, n);
  if (mapping === undefined) return undefined;
  const [first, last] = how % 8 === 6 ? [0n, mapping.source.length - 1n] : (pick(mapping.left, from) as Interval);
  const length = last - first + 1n;
  const offset = first + (how % 8 === 7 ? length - 4n : (BigInt(from) * 0x404n) % (length - 3n));
  return { do: 'peek', map: mapping.name, offset: offset - (offset % 4n), ...by(mapping) };
}

/** The first page has gone, and not all. */
const isCut = ({ left }: Mapping): boolean => left[0]?.[0] !== 0n;

/** All that is left of a mapping, or some pages that may be gone already. */
export function munmapOf({ pick: n, from, size, how }: Intent, state: State): Command | undefined {
  const mapping = pick(state.mappings, n);
  if (mapping === undefined) return undefined;
  const whole = { do: 'munmap', map: mapping.name, ...by(mapping) } as const;
  if (how % 4 < 2) return whole;
  const pages = pagesIn(mapping.source.length);
  const first = how % 8 === 7 ? 0 : from % pages;
  const length = BigInt((1 + (size % Math.min(pages - first, 3))) * PAGE);
  return { ...whole, offset: BigInt(first * PAGE), ...(how % 4 === 3 && { length }) };
}

const by = ({ process }: Mapping): { process?: string } => (process === undefined ? {} : { process });

/** Some pages of a buffer, where the kernel allows it; of one of two ranges those where the ranges meet. */
export function fdMmapOf({ pick: n, from, size, how, at }: Intent, state: State): Command | undefined {
  const as = freeName(state, 'mapping');
  const all = sources(state, 'dmabuf');
  const joint = how % 4 === 3 ? pickOf(all, n, ({ source }) => source.ranges.length > 1) : undefined;
  const buffer = joint ?? pick(all, n);
  if (as === undefined || buffer === undefined || lacksSeries(at, state)) return undefined;
  const { length, ranges } = buffer.source;
  const pages = pagesIn(length);
  const first = ranges.length > 1 ? pages / 2 - 1 : from % Math.min(pages, 4);
  const count = 1 + (size % Math.min(pages - first, 8));
  return { do: 'fd_mmap', fd: buffer.name, offset: BigInt(first * PAGE), length: BigInt(count * PAGE), as };
}

export function forkOf(intent: Intent, state: State): Command {
  const as = freeName(state, 'process');
  return as === undefined ? exitOf(intent, state) : { do: 'fork', as };
}

export function exitOf(intent: Intent, state: State): Command {
  const process = pick(state.processes, intent.pick);
  return process === undefined ? forkOf(intent, state) : { do: 'exit', process };
}

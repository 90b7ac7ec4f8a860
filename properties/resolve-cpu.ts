/** Intents of what the CPU maps of a BAR, and reads through it. */
import type { State } from '../model/spec.ts';
import type { Command } from '../trace/command.ts';
import type { Intent } from './intents.ts';
import { freeName, pick, sources } from './view.ts';

const PAGE = 0x1000n;

/** Some pages of the largest BAR of an open device, bound or not: its first, its last, or others. */
export function barMmapOf({ pick: n, from, size, how }: Intent, state: State): Command | undefined {
  const as = freeName(state, 'mapping');
  const device = pick(
    state.devices.filter(({ opening }) => opening !== undefined),
    n,
  );
  if (as === undefined || device === undefined) return undefined;
  const [region, bar] = [...device.config.bars].reduce((a, b) => (b[1] > a[1] ? b : a), [0, 0n]);
  const pages = Number(bar / PAGE);
  const places = [0, Math.max(0, pages - 1 - (size % 8)), from % Math.max(pages, 1)];
  const first = places[how % 3] as number;
  const length = BigInt(1 + (size % Math.max(1, Math.min(pages - first, 8)))) * PAGE;
  return { do: 'bar_mmap', dev: device.name, region, offset: BigInt(first) * PAGE, length, as };
}

/** An offset inside the mapping; the last that can be read, now and then. */
export function peekOf({ pick: n, from, how }: Intent, state: State): Command | undefined {
  const mapping = pick(sources(state, 'mapping'), n);
  if (mapping === undefined) return undefined;
  const { length } = mapping.source;
  const offset = how % 8 === 7 ? length - 4n : (BigInt(from) * 0x404n) % (length - 3n);
  return { do: 'peek', map: mapping.name, offset: offset - (offset % 4n) };
}

export function munmapOf({ pick: n }: Intent, state: State): Command | undefined {
  const mapping = pick(sources(state, 'mapping'), n);
  return mapping && { do: 'munmap', map: mapping.name };
}

/** No dma-buf can be mapped. */
export function fdMmapOf({ pick: n, size }: Intent, state: State): Command | undefined {
  const as = freeName(state, 'mapping');
  const buffer = pick(sources(state, 'dmabuf'), n);
  if (as === undefined || buffer === undefined) return undefined;
  return { do: 'fd_mmap', fd: buffer.name, offset: 0n, length: BigInt(1 + (size % 4)) * PAGE, as };
}

/** Buffers: how a device exports them, whether they are usable, and what takes them back, for now or for good. */

import { END } from './iova.ts';
import { NOTHING, sourceNamed, whenBound } from './names.ts';
import { done, first, give, type Refusal, swap } from './outcome.ts';
import type { Area, Device, Do, Ioas, Outcome, Source, State } from './spec.ts';

/** Where a BAR begins: anywhere, so that an offset just below 2^64 wraps. */
const BAR = 0x1_0000_0000n;

/** A device answers in D0 with memory on. In low power it does, too, to whoever wakes it. */
export const answers = ({ memory, power }: Device): boolean => memory && power === 0;
const holding = (s: State, { owner }: Source): Device | undefined =>
  s.devices.find(({ holder }) => holder !== undefined && holder === owner);

/** A buffer shares the state of its device, or was spared; and goes with it. Or it was taken back for itself. */
export const revoked = (s: State, source: Source): boolean => {
  if (s.takenBack.includes(source)) return true;
  const device = holding(s, source);
  return source.owner !== undefined && (!device || (device.lost && !device.spared.includes(source)));
};
/** The CPU reaches a BAR of a device that answers and is not in low power; what is a buffer, too, if it is usable. */
export const faults = (s: State, mapping: Source): boolean => {
  const device = holding(s, mapping);
  const awake = device && answers(device) && !device.lowPower;
  return !awake || (s.machine.mapsBuffers && revoked(s, mapping.of ?? mapping));
};

/**
 * Every live area of a dma-buf that is lost dies, in every IOAS. Nothing ever revives it. Areas of user memory are told
 * nothing, even where that is a mapping of the buffer.
 */
export const shoot = (s: State, lost: (source: Source) => boolean): State => {
  const dies = ({ live, source }: Area): boolean => live && source.is === 'dmabuf' && lost(source);
  const kill = (area: Area): Area => (dies(area) ? { ...area, live: false } : area);
  const clear = (ioas: Ioas): Ioas => (ioas.areas.some(dies) ? { ...ioas, areas: ioas.areas.map(kill) } : ioas);
  const inHand = s.holds.map((it) => (it.areas?.some(dies) ? { ...it, areas: it.areas.map(kill) } : it));
  return { ...s, ioases: s.ioases.map(clear), holds: inHand };
};

/** The memory of the devices is taken back. */
export const revoke = (s: State, devices: readonly Device[]): State =>
  shoot(s, ({ owner }) => devices.some(({ holder }) => holder && holder === owner));

/** What the devices have exported is given again, if they answer now. While one does not, all of it is lost. */
export const restore = (s: State, devices: readonly Device[]): State => {
  const settled = (it: Device): Device => ({ ...it, lost: !answers(it), spared: [] });
  const meant = ({ name }: Device): boolean => devices.some((device) => device.name === name);
  return { ...s, devices: s.devices.map((it) => (meant(it) ? settled(it) : it)) };
};

/** A new buffer is usable if its device answers, whatever became of the others. */
export const born = (s: State, device: Device, source: Source): State => {
  const spared = device.lost && answers(device) ? [...device.spared, source] : device.spared;
  return { ...s, devices: swap(s.devices, device, { ...device, spared, exports: device.exports + 1 }) };
};

/** This works while memory is off, too: the dma-buf is then revoked from birth. */
export const exportBar = (state: State, c: Do<'vfio_export'>): Outcome =>
  whenBound(state, c.dev, (s, device) => {
    const buffer = bufferOf(s, device, c);
    return 'err' in buffer ? buffer : done(give(born(s, device, buffer), c.as, buffer));
  });

/** A buffer that nobody knows yet. */
export const bufferOf = (s: State, device: Device, c: Do<'vfio_export'>): Source | Refusal => {
  const { dev, region, ranges, flags = 0n } = c;
  const [bar, memory] = [device.config.bars.get(region) ?? -1n, `${dev}:${region}`];
  const length = ranges.reduce((sum, [, bytes]) => sum + bytes, 0n);
  const ragged = ranges.some(([offset, bytes]) => bytes === 0n || (offset | bytes) % s.machine.pageSize !== 0n);
  const end = ranges.map(([offset, bytes]) => offset + bytes).find((bytes) => bytes > bar) ?? 0n;
  const refusal =
    first([flags !== 0n || ranges.length === 0, 'EINVAL'], [bar < 0n, 'ENODEV']) ??
    first([ragged || length >= END / 2n, 'EINVAL'], [BAR + end >= END, 'EOVERFLOW'], [end > 0n, 'EINVAL']);
  const { holder: owner, exports: nth } = device;
  return refusal ?? { is: 'dmabuf', memory, base: ranges[0]![0], length, ranges, owner, nth };
};

/** What can only be asked of a buffer of this very device, while that is open. */
export const ofBuffer = (
  state: State,
  { dev, fd }: Do<'vfio_dmabuf_revoke' | 'vfio_dmabuf_memattr'>,
  act: (s: State, buffer: Source) => Outcome,
): Outcome =>
  whenBound(state, dev, (s, { holder }) => {
    const buffer = sourceNamed(s, fd);
    const foreign = buffer.owner !== holder;
    return (
      first([!s.machine.mapsBuffers, 'ENOTTY'], [buffer === NOTHING, 'EBADF']) ??
      first([buffer.is !== 'dmabuf', 'EINVAL'], [foreign, 'ENODEV']) ??
      act(s, buffer)
    );
  });

export const revokeForGood = (state: State, c: Do<'vfio_dmabuf_revoke'>): Outcome =>
  ofBuffer(state, c, (s, buffer) =>
    s.takenBack.includes(buffer)
      ? { err: 'EBADFD' }
      : done({ ...shoot(s, (source) => source === buffer), takenBack: [...s.takenBack, buffer] }),
  );

/** Uncached, or write-combining: that later mappings of the CPU are made so does not show. */
export const memattr = (state: State, c: Do<'vfio_dmabuf_memattr'>): Outcome =>
  ofBuffer(state, c, (s) => first([c.attr > 1, 'ENOENT']) ?? done(s));

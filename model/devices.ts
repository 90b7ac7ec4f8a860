/** Devices: opening, binding, exporting, and all that takes their memory back: the memory bit, power states, resets. */

import { END } from './iova.ts';
import { contextNamed, deviceNamed, whenBound } from './names.ts';
import { done, first, give, swap } from './outcome.ts';
import type { Area, Device, Do, Ioas, Opening, Outcome, Source, State } from './spec.ts';

/** Where a BAR begins: anywhere, so that an offset just below 2^64 wraps. */
const BAR = 0x1_0000_0000n;
/** What is of a BAR is usable while its device answers, unless that was let go of since; a test buffer has a flag. */
export const answers = ({ memory, power }: Device): boolean => memory && power === 0;
export const revoked = (s: State, source: Source): boolean =>
  source.owner === undefined
    ? s.takenBack.includes(source)
    : !s.devices.some((device) => device.holder === source.owner && answers(device));

/** Every live area of what is lost dies, in every IOAS. Nothing ever revives it. */
export const shoot = (s: State, lost: (source: Source) => boolean): State => {
  const dies = ({ live, source }: Area): boolean => live && lost(source);
  const kill = (area: Area): Area => (dies(area) ? { ...area, live: false } : area);
  const clear = (ioas: Ioas): Ioas => (ioas.areas.some(dies) ? { ...ioas, areas: ioas.areas.map(kill) } : ioas);
  return { ...s, ioases: s.ioases.map(clear) };
};

/** The memory of the devices is taken back. */
export const revoke = (s: State, devices: readonly Device[]): State =>
  shoot(s, ({ is, owner }) => is === 'dmabuf' && devices.some(({ holder }) => holder && holder === owner));

/** Unless the device still answers after the write, its memory is taken back. */
export const toggle = (s: State, c: Do<'vfio_memory' | 'vfio_power'>): Outcome =>
  whenBound(s, c.dev, (device) => {
    if (c.do === 'vfio_power' && !device.config.resets.includes('pm')) return { err: 'EINVAL' };
    const to: Partial<Device> = c.do === 'vfio_memory' ? { memory: c.enable } : { power: c.state };
    const state = { ...s, devices: swap(s.devices, device, to) };
    return done(answers({ ...device, ...to }) ? state : revoke(state, [device]));
  });

/** Any reset takes the memory back, and leaves the device in D0. */
export const reset = (s: State, c: Do<'vfio_reset' | 'vfio_flr'>): Outcome =>
  whenBound(s, c.dev, (device) => {
    const { resets } = device.config;
    if (c.do === 'vfio_flr' ? !resets.includes('flr') : resets.length === 0) return { err: 'EINVAL' };
    return done(revoke({ ...s, devices: swap(s.devices, device, { power: 0 }) }, [device]));
  });

/** All functions of the bus, open or not, up to one that someone else owns. A reset that fails has revoked, too. */
export const hotReset = (s: State, { dev }: Do<'vfio_hot_reset'>): Outcome =>
  whenBound(s, dev, ({ config, context }) => {
    const bus = s.devices.filter((device) => device.config.bus === config.bus);
    const owned = s.devices.filter((device) => device.context === context).map((device) => device.config.group);
    const foreign = bus.findIndex((device) => !owned.includes(device.config.group));
    if (foreign >= 0) return { err: 'EINVAL', state: revoke(s, bus.slice(0, foreign)) };
    const devices = s.devices.map((device): Device => (bus.includes(device) ? { ...device, power: 0 } : device));
    const state = revoke({ ...s, devices }, bus);
    return config.hotResetErr ? { err: config.hotResetErr, state } : done(state);
  });

export const open = (s: State, { dev }: Do<'vfio_open'>): Outcome => {
  const opening: Opening = { is: 'opening', device: dev };
  const devices = swap(s.devices, deviceNamed(s, dev), { opening });
  return deviceNamed(s, dev).opening ? { err: 'EBUSY' } : done({ ...s, devices });
};

/** A group belongs to one context at a time, and a device to one opening. Its memory is on from then on. */
export const bind = (s: State, { dev, ctx }: Do<'vfio_bind'>): Outcome => {
  const [device, context] = [deviceNamed(s, dev), contextNamed(s, ctx)];
  const { opening, holder, config } = device;
  const foreign = s.devices.some((d) => d.config.group === config.group && (d.context ?? context) !== context);
  return (
    first([!opening, 'EBADF'], [holder === opening, 'EINVAL'], [!context, 'EBADF']) ??
    first([holder !== undefined, 'EINVAL'], [foreign, 'EPERM']) ??
    done({ ...s, devices: swap(s.devices, device, { context, holder: opening, memory: true }) })
  );
};

/** This works while memory is off, too: the dma-buf is then revoked from birth. */
export const exportBar = (s: State, { dev, region, ranges, as, flags = 0n }: Do<'vfio_export'>): Outcome =>
  whenBound(s, dev, ({ config, holder: owner }) => {
    const [bar, memory] = [config.bars.get(region) ?? -1n, `${dev}:${region}`];
    const length = ranges.reduce((sum, [, bytes]) => sum + bytes, 0n);
    const ragged = ranges.some(([offset, bytes]) => bytes === 0n || (offset | bytes) % s.machine.pageSize !== 0n);
    const end = ranges.map(([offset, bytes]) => offset + bytes).find((bytes) => bytes > bar) ?? 0n;
    return (
      first([flags !== 0n || ranges.length === 0, 'EINVAL'], [bar < 0n, 'ENODEV']) ??
      first([ragged || length >= END / 2n, 'EINVAL'], [BAR + end >= END, 'EOVERFLOW'], [end > 0n, 'EINVAL']) ??
      done(give(s, as, { is: 'dmabuf', memory, base: ranges[0]![0], length, ranges: ranges.length, owner }))
    );
  });

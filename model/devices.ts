/** Devices: opening, binding, exporting, and all that takes their memory back: the memory bit, power states, resets. */

import { END } from './iova.ts';
import { contextNamed, deviceNamed, whenBound } from './names.ts';
import { done, first, give, swap } from './outcome.ts';
import type { Area, Device, Do, Ioas, Opening, Outcome, Source, State } from './spec.ts';

/** Where a BAR begins: anywhere, so that an offset just below 2^64 wraps. */
const BAR = 0x1_0000_0000n;
/** What a device is while nobody has it open. */
export const SHUT = { opening: undefined, context: undefined, memory: false, power: 0 } as const;

/** A dma-buf is usable while its device answers, unless the device was closed since. */
export const answers = ({ memory, power }: Device): boolean => memory && power === 0;
export const revoked = (s: State, { owner }: Source): boolean =>
  !s.devices.some((device) => device.opening === owner && answers(device));

/** Every live area of what the devices have exported dies, in every IOAS. Nothing ever revives it. */
export const revoke = (s: State, devices: readonly Device[]): State => {
  const lost = ({ live, source: { owner } }: Area): boolean =>
    live && devices.some(({ opening }) => owner && opening === owner);
  const kill = (area: Area): Area => (lost(area) ? { ...area, live: false } : area);
  const shoot = (ioas: Ioas): Ioas => (ioas.areas.some(lost) ? { ...ioas, areas: ioas.areas.map(kill) } : ioas);
  return { ...s, ioases: s.ioases.map(shoot) };
};

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
  const devices = swap(s.devices, deviceNamed(s, dev), { opening, memory: true });
  return deviceNamed(s, dev).opening ? { err: 'EBUSY' } : done({ ...s, devices });
};

/** A group belongs to one context at a time. */
export const bind = (s: State, { dev, ctx }: Do<'vfio_bind'>): Outcome => {
  const [device, context] = [deviceNamed(s, dev), contextNamed(s, ctx)];
  const foreign = s.devices.some((d) => d.config.group === device.config.group && (d.context ?? context) !== context);
  return (
    first([!device.opening, 'EBADF'], [!!device.context, 'EINVAL'], [!context, 'EBADF'], [foreign, 'EPERM']) ??
    done({ ...s, devices: swap(s.devices, device, { context }) })
  );
};

/** This works while memory is off, too: the dma-buf is then revoked from birth. */
export const exportBar = (s: State, { dev, region, ranges, as, flags = 0n }: Do<'vfio_export'>): Outcome =>
  whenBound(s, dev, ({ config, opening: owner }) => {
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

/** Devices: opening and binding, and what takes their memory back: the memory bit, power states, low power, resets. */

import type { Handle } from '../trace/command.ts';
import { answers, restore, revoke } from './buffers.ts';
import { contextNamed, deviceNamed, whenBound, woken } from './names.ts';
import { done, first, swap } from './outcome.ts';
import type { Context, Device, Do, Opening, Outcome, State } from './spec.ts';

/** Unless the device still answers after the write, its memory is taken back. */
export const toggle = (state: State, c: Do<'vfio_memory' | 'vfio_power'>): Outcome =>
  whenBound(state, c.dev, (s, device) => {
    if (c.do === 'vfio_power' && !device.config.resets.includes('pm')) return { err: 'EINVAL' };
    const to: Device = c.do === 'vfio_memory' ? { ...device, memory: c.enable } : { ...device, power: c.state };
    const after = { ...s, devices: swap(s.devices, device, to) };
    return done(restore(answers(to) ? after : revoke(after, [device]), [device]));
  });

/** Takes everything back, entered or not; nothing gives it again on the way in, nor when the device wakes up. */
export const enterLowPower = (state: State, { dev, wakeup = false }: Do<'vfio_low_power_entry'>): Outcome =>
  whenBound(state, dev, (s, device) => {
    const lowPower = device.lowPower || (wakeup ? 'until woken' : 'until left');
    const entered: Device = { ...device, lowPower, power: 0, lost: true, spared: [] };
    const after = { ...revoke(s, [device]), devices: swap(s.devices, device, entered) };
    return device.lowPower ? { state: after, err: 'EINVAL' } : done(after);
  });
export const exitLowPower = (state: State, { dev }: Do<'vfio_low_power_exit'>): Outcome =>
  whenBound(state, dev, (s, device) =>
    done(restore({ ...s, devices: swap(s.devices, device, { ...device, lowPower: undefined }) }, [device])),
  );

/** Any reset takes the memory back, and leaves the device in D0. */
export const reset = (state: State, c: Do<'vfio_reset' | 'vfio_flr'>): Outcome =>
  whenBound(state, c.dev, (s, device) => {
    const { resets } = device.config;
    if (c.do === 'vfio_flr' ? !resets.includes('flr') : resets.length === 0) return { err: 'EINVAL' };
    const awake = { ...s, devices: swap(s.devices, device, { ...device, power: 0 }) };
    return done(restore(revoke(awake, [device]), [device]));
  });

/** All functions of the bus, open or not, up to one that someone else owns. A reset that fails has revoked, too. */
export const hotReset = (state: State, { dev }: Do<'vfio_hot_reset'>): Outcome =>
  whenBound(state, dev, (asleep, { config, context }) => {
    const s = woken(asleep, (device) => device.config.bus === config.bus);
    const bus = s.devices.filter((device) => device.config.bus === config.bus);
    const owned = s.devices.filter((device) => device.context === context).map((device) => device.config.group);
    const foreign = bus.findIndex((device) => !owned.includes(device.config.group));
    const before = bus.slice(0, foreign);
    if (foreign >= 0) return { state: restore(revoke(s, before), before), err: 'EINVAL' };
    const devices = s.devices.map((device): Device => (bus.includes(device) ? { ...device, power: 0 } : device));
    const after = restore(revoke({ ...s, devices }, bus), bus);
    return config.hotResetErr ? { state: after, err: config.hotResetErr } : done(after);
  });

/** By itself, at any time. */
export const wake = (s: State, { dev }: Do<'vfio_wake'>): Outcome => done(woken(s, ({ name }) => name === dev));

export const open = (s: State, { dev }: Do<'vfio_open'>): Outcome => {
  const opening: Opening = { is: 'opening', device: dev };
  const device = deviceNamed(s, dev);
  const devices = swap(s.devices, device, { ...device, opening });
  return device.opening ? { err: 'EBUSY' } : done({ ...s, devices });
};

/** A group belongs to one context at a time, and a device to one opening. Its memory is on from then on. */
export const bind = (s: State, { dev, ctx }: Do<'vfio_bind'>): Outcome => {
  const [device, context] = [deviceNamed(s, dev), contextNamed(s, ctx)];
  const { opening, holder } = device;
  const refusal = first([!opening, 'EBADF'], [holder === opening, 'EINVAL'], [!context, 'EBADF']);
  return refusal ?? bindTo(s, dev, opening!, context!);
};
/** Both are there, and the opening has the device not bound yet. */
export const bindTo = (s: State, dev: Handle, opening: Opening, context: Context): Outcome => {
  const device = deviceNamed(s, dev);
  const { holder, config } = device;
  const foreign = s.devices.some((d) => d.config.group === config.group && (d.context ?? context) !== context);
  const bound: Device = { ...device, context, holder: opening, memory: true, lost: false };
  return (
    first([holder !== undefined, 'EINVAL'], [foreign, 'EPERM']) ??
    done({ ...s, devices: swap(s.devices, device, bound) })
  );
};

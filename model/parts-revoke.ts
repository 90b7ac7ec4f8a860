/**
 * The smaller steps of what takes memory back: memory_lock · each buffer in turn · the hardware, and each buffer again
 * if the device answers · unlocked. CPU faults wait meanwhile, and a hot reset does not: it is EBUSY.
 */

import type { Handle } from '../trace/command.ts';
import { answers, revoked, restore as settled, shoot } from './buffers.ts';
import { type By, type Hold, isHeld } from './holds.ts';
import { deviceNamed, unbound, woken } from './names.ts';
import { swap } from './outcome.ts';
import { drop, end, go, hold, OK, type Part, part, refuse, type Stepped, type Taken, taken } from './part.ts';
import type { Device, Do, Named, Source, State } from './spec.ts';

export const memoryOf = (dev: Handle): string => `memory_lock of ${dev}`;
export const setOf = ({ config }: Device): string => `dev_set of bus ${config.bus}`;

/** The buffers of a device that anybody can name or reach, the oldest first. */
export const buffersOf = (s: State, { holder }: Device): readonly Source[] => {
  const named = [...s.handles.values()].filter((it: Named | undefined): it is Source => !!it && 'base' in it);
  const areas = [...s.ioases, ...s.holds].flatMap((it) => it.areas ?? []).map(({ source }) => source);
  const shown = s.mappings.map(({ source }) => source.of ?? source);
  const used = s.holds.flatMap(({ what }) => (typeof what === 'object' && 'base' in what ? [what as Source] : []));
  const all = new Set([...named, ...areas, ...shown, ...used]);
  const buffers = [...all].filter(({ is }) => is === 'dmabuf' || (s.machine.mapsBuffers && is === 'mapping'));
  const own = buffers.filter(({ owner }) => owner !== undefined && owner === holder);
  return own.sort((a, b) => a.nth! - b.nth!);
};
const usable = (s: State, device: Device): readonly Source[] => buffersOf(s, device).filter((it) => !revoked(s, it));

/** Awake by now: who uses a device already has woken it, and kept it awake since. */
export const roused = (s: State, by: By, devices: readonly Handle[]): State =>
  woken(s, ({ name, opening }) => devices.includes(name) && !isHeld(s, opening!, 'uses', by));

/** A call on the descriptor of a device keeps its opening, and wakes it. */
export const deviceCall = (
  dev: Handle,
  then: (s: State, device: Device) => readonly Part[] | Taken,
): readonly Part[] => [
  part('enters the device', (s, by) => {
    const refusal = unbound(s, dev);
    if (refusal) return refuse(s, refusal.err);
    const awake = roused(s, by, [dev]);
    const next = then(awake, deviceNamed(awake, dev));
    if (typeof next === 'string' || !Array.isArray(next)) return next as Taken;
    return go(hold(awake, by, 'uses', deviceNamed(s, dev).opening!), next as readonly Part[]);
  }),
];

/** What the CPU had mapped of the device is gone with the first step after memory_lock was taken. */
export const zapped = (s: State, by: By, dev: Handle): State => {
  const gone = (it: Hold): Hold => (it.by === by && it.what === memoryOf(dev) ? { ...it, how: 'locks' } : it);
  return { ...s, holds: s.holds.map(gone) };
};
export const locking = (dev: Handle, revokes: boolean): Part =>
  part(`locks the memory of ${dev}`, (s, by) =>
    taken(s, by, memoryOf(dev))
      ? 'waits'
      : go(hold(s, by, revokes ? 'enters' : 'locks', memoryOf(dev)), revokes ? revoking(s, dev) : []),
  );
export const revoking = (s: State, dev: Handle): readonly Part[] =>
  usable(s, deviceNamed(s, dev)).length > 0 ? [revokingNext(dev)] : [];

/** The oldest that is usable. */
const revokingNext = (dev: Handle): Part =>
  part(`revokes a buffer of ${dev}`, (before, by) => {
    const s = zapped(before, by, dev);
    const device = deviceNamed(s, dev);
    const [buffer, ...spared] = usable(s, device);
    const devices = swap(s.devices, device, { ...device, lost: true, spared });
    if (!buffer) return go({ ...s, devices });
    const more = spared.length > 0 ? [revokingNext(dev)] : [];
    return go(hold({ ...s, devices }, by, 'keeps', buffer), [...telling(s, buffer), ...more]);
  });
/** It is refused already: devices reach it until its importers are told, and the CPU, where it maps buffers, longer. */
export const telling = (s: State, buffer: Source): readonly Part[] => {
  const tell = part('tells its importers', (now) => go(shoot(now, (source) => source === buffer)));
  const zap = part('zaps it', (now, by) => go(drop(now, by, 'keeps', buffer)));
  return s.mappings.some(({ source }) => (source.of ?? source) === buffer) ? [tell, zap] : [tell];
};

/** All buffers of the device again if it answers, the oldest first; else all are lost. */
export const restoring = (s: State, dev: Handle): Stepped => {
  const device = deviceNamed(s, dev);
  const [buffer, ...more] = buffersOf(s, device).filter((it) => revoked(s, it) && !s.takenBack.includes(it));
  if (!answers(device) || !buffer || more.length === 0) return go(settled(s, [device]));
  const devices = swap(s.devices, device, { ...device, lost: true, spared: [...device.spared, buffer] });
  return go({ ...s, devices }, [part(`restores a buffer of ${dev}`, (now) => restoring(now, dev))]);
};

type Change = (device: Device) => Partial<Device>;
/** Whatever revokes, or may: config writes, resets, power states. */
const trigger = (dev: Handle, revokes: boolean, change: Change): readonly Part[] => [
  locking(dev, revokes),
  part('acts', (before, by) => {
    const s = zapped(before, by, dev);
    const device = deviceNamed(s, dev);
    return {
      ...restoring({ ...s, devices: swap(s.devices, device, { ...device, ...change(device) }) }, dev),
      answer: OK,
    };
  }),
];

type Trigger = Do<'vfio_memory' | 'vfio_power' | 'vfio_reset' | 'vfio_flr' | 'vfio_low_power_exit'>;
export const triggerParts = (c: Trigger): readonly Part[] =>
  deviceCall(c.dev, (s, { config: { resets } }) => {
    if (c.do === 'vfio_memory') return trigger(c.dev, !c.enable, () => ({ memory: c.enable }));
    if (c.do === 'vfio_low_power_exit') return trigger(c.dev, false, () => ({ lowPower: undefined }));
    if (c.do === 'vfio_power' && resets.includes('pm'))
      return trigger(c.dev, c.state === 3, () => ({ power: c.state }));
    const able = c.do === 'vfio_flr' ? resets.includes('flr') : c.do === 'vfio_reset' && resets.length > 0;
    return able ? trigger(c.dev, true, () => ({ power: 0 })) : refuse(s, 'EINVAL');
  });

/** Nothing is given again, and an entry that is refused has revoked, too. */
export const lowPowerParts = ({ dev, wakeup = false }: Do<'vfio_low_power_entry'>): readonly Part[] =>
  deviceCall(dev, () => [
    locking(dev, true),
    part('sleeps', (before, by) => {
      const s = zapped(before, by, dev);
      const device = deviceNamed(s, dev);
      const lowPower = device.lowPower || (wakeup ? 'until woken' : 'until left');
      const devices = swap(s.devices, device, { ...device, lowPower, power: 0, lost: true, spared: [] });
      return device.lowPower ? refuse({ ...s, devices }, 'EINVAL') : end({ ...s, devices }, OK);
    }),
  ]);

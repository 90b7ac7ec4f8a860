/** Intents of low power, and of what only some kernels can do to a buffer. Undefined while no device is bound. */
import type { Device, Source, State } from '../model/spec.ts';
import type { Command } from '../trace/command.ts';
import type { Intent } from './intents.ts';
import { boundDevices, machineDevices, pick, sources } from './view.ts';

/** A device that is in low power already, now and then. */
export function lowPowerOf({ pick: n, how }: Intent, state: State): Command | undefined {
  const bound = boundDevices(state);
  const device = pick(how % 4 === 3 ? inLowPower(bound) : bound, n) ?? pick(bound, n);
  return device && { do: 'vfio_low_power_entry', dev: device.name, ...(how % 8 >= 4 && { wakeup: true }) };
}

/** Mostly one that has entered it. */
export function leaveLowPowerOf({ pick: n }: Intent, state: State): Command | undefined {
  const bound = boundDevices(state);
  const device = pick(inLowPower(bound), n) ?? pick(bound, n);
  return device && { do: 'vfio_low_power_exit', dev: device.name };
}

/** The same; a device needs nobody who has it open to wake up. */
export function wakeOf({ pick: n }: Intent, state: State): Command | undefined {
  const all = machineDevices(state);
  const device = pick(inLowPower(all), n) ?? pick(all, n);
  return device && { do: 'vfio_wake', dev: device.name };
}

const inLowPower = (devices: readonly Device[]): readonly Device[] => devices.filter(({ lowPower }) => lowPower);

/** A buffer that somebody maps, mostly; now and then one that was revoked before. */
export function revokeOf({ pick: n, how }: Intent, state: State): Command | undefined {
  const all = sources(state, 'dmabuf');
  const mapped = all.filter(({ source }) => state.mappings.some((it) => it.source.of === source));
  const gone = all.filter(({ source }) => state.takenBack.includes(source));
  const buffer = pick(how % 4 === 3 ? gone : mapped, n) ?? pick(all, n);
  return buffer && { do: 'vfio_dmabuf_revoke', dev: exporterOf(buffer.source, n, state), fd: buffer.name };
}

export function memattrOf({ pick: n, how }: Intent, state: State): Command | undefined {
  const buffer = pick(sources(state, 'dmabuf'), n);
  return (
    buffer && { do: 'vfio_dmabuf_memattr', dev: exporterOf(buffer.source, n, state), fd: buffer.name, attr: how % 2 }
  );
}

/** The device of the buffer; another one when that is closed. */
function exporterOf({ owner }: Source, n: number, state: State): string {
  return owner?.device ?? pick(machineDevices(state), n)?.name ?? 'dev0';
}

/** Intents of low power, and of what only some kernels can do to a buffer; undefined where there is nothing to do. */
import type { Device, Source, State } from '../../model/spec.ts';
import type { Command } from '../../trace/command.ts';
import type { Intent } from '../intents.ts';
import { boundDevices, machineDevices, type NamedSource, pick, pickOf, sources } from '../view.ts';

/** A device that is in low power already, now and then. */
export function lowPowerOf({ pick: n, how }: Intent, state: State): Command | undefined {
  const bound = boundDevices(state);
  const device = (how % 4 === 3 ? pickOf(bound, n, inLowPower) : undefined) ?? pick(bound, n);
  return device && { do: 'vfio_low_power_entry', dev: device.name, ...(how % 8 >= 4 && { wakeup: true }) };
}

/** Mostly one that has entered it. */
export function leaveLowPowerOf({ pick: n }: Intent, state: State): Command | undefined {
  const bound = boundDevices(state);
  const device = pickOf(bound, n, inLowPower) ?? pick(bound, n);
  return device && { do: 'vfio_low_power_exit', dev: device.name };
}

/** The same; a device needs nobody who has it open to wake up. */
export function wakeOf({ pick: n }: Intent, state: State): Command | undefined {
  const all = machineDevices(state);
  const device = pickOf(all, n, inLowPower) ?? pick(all, n);
  return device && { do: 'vfio_wake', dev: device.name };
}

const inLowPower = ({ lowPower }: Device): boolean => lowPower !== undefined;

/** A buffer that somebody maps, mostly; now and then one that was revoked before. */
export function revokeOf({ pick: n, how, at }: Intent, state: State): Command | undefined {
  if (lacksSeries(at, state)) return undefined;
  const all = sources(state, 'dmabuf');
  const mapped = ({ source }: NamedSource): boolean => state.mappings.some((it) => it.source.of === source);
  const gone = ({ source }: NamedSource): boolean => state.takenBack.includes(source);
  const buffer = pickOf(all, n, how % 4 === 3 ? gone : mapped) ?? pick(all, n);
  return buffer && { do: 'vfio_dmabuf_revoke', dev: exporterOf(buffer.source, n, state), fd: buffer.name };
}

/** Uncached, write-combining, or neither. */
export function memattrOf({ pick: n, how, at }: Intent, state: State): Command | undefined {
  if (lacksSeries(at, state)) return undefined;
  const buffer = pick(sources(state, 'dmabuf'), n);
  return (
    buffer && {
      do: 'vfio_dmabuf_memattr',
      dev: exporterOf(buffer.source, n, state),
      fd: buffer.name,
      attr: how % 8 === 7 ? 2 : how % 2,
    }
  );
}

/** Kernels that cannot do it are asked seldom: they have one answer. */
export const lacksSeries = (at: number, { machine }: State): boolean => !machine.mapsBuffers && at % 4 !== 0;

/** The device of the buffer, or now and then any. */
function exporterOf({ owner }: Source, n: number, state: State): string {
  const any = pick(machineDevices(state), n >> 3)?.name ?? 'dev0';
  return n % 4 === 3 ? any : (owner?.device ?? any);
}

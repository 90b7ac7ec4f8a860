/** The commands on a device: its descriptor, its memory and its power. */
import type { Handle, Slice } from './command.ts';

export interface VfioOpen {
  readonly do: 'vfio_open';
  readonly dev: Handle;
}
export interface VfioBind {
  readonly do: 'vfio_bind';
  readonly dev: Handle;
  readonly ctx: Handle;
}
export interface VfioAttach {
  readonly do: 'vfio_attach';
  readonly dev: Handle;
  readonly pt: Handle;
}
export interface VfioDetach {
  readonly do: 'vfio_detach';
  readonly dev: Handle;
}
export interface VfioClose {
  readonly do: 'vfio_close';
  readonly dev: Handle;
}
export interface VfioExport {
  readonly do: 'vfio_export';
  readonly dev: Handle;
  readonly region: number;
  readonly ranges: readonly Slice[];
  readonly as: Handle;
  readonly flags?: bigint;
}
export interface VfioMemory {
  readonly do: 'vfio_memory';
  readonly dev: Handle;
  readonly enable: boolean;
}
export interface VfioReset {
  readonly do: 'vfio_reset';
  readonly dev: Handle;
}
export interface VfioFlr {
  readonly do: 'vfio_flr';
  readonly dev: Handle;
}
export interface VfioHotReset {
  readonly do: 'vfio_hot_reset';
  readonly dev: Handle;
}
export interface VfioPower {
  readonly do: 'vfio_power';
  readonly dev: Handle;
  readonly state: 0 | 3;
}
export interface VfioLowPowerEntry {
  readonly do: 'vfio_low_power_entry';
  readonly dev: Handle;
  readonly wakeup?: boolean;
}
export interface VfioLowPowerExit {
  readonly do: 'vfio_low_power_exit';
  readonly dev: Handle;
}
export interface VfioWake {
  readonly do: 'vfio_wake';
  readonly dev: Handle;
}
export interface VfioDmabufRevoke {
  readonly do: 'vfio_dmabuf_revoke';
  readonly dev: Handle;
  readonly fd: Handle;
}
export interface VfioDmabufMemattr {
  readonly do: 'vfio_dmabuf_memattr';
  readonly dev: Handle;
  readonly fd: Handle;
  readonly attr: number;
}

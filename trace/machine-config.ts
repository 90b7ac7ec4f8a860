/** The machine on which a trace runs. */
import type { Errno } from './answer.ts';
import type { Handle, Interval } from './command.ts';

/** A device of the machine; see the format for what the keys mean. */
export interface DeviceConfig {
  readonly bars: ReadonlyMap<number, bigint>;
  readonly group: number;
  readonly bus: number;
  readonly resets: readonly ('flr' | 'pm' | 'bus')[];
  readonly hotResetErr?: Errno;
}

/** The machine on which a trace runs. Sizes and intervals in bytes. */
export interface MachineConfig {
  readonly pageSize: bigint;
  /** Page sizes of a domain, ascending; the lowest decides the alignment of an IOAS. */
  readonly pageSizes: readonly bigint[];
  readonly aperture: Interval;
  /** What an attached device reserves in its IOAS besides what lies outside the aperture. */
  readonly reserved: readonly Interval[];
  readonly devices: ReadonlyMap<Handle, DeviceConfig>;
}

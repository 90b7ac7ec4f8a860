/** The machines that races run on. */
import type { DeviceConfig, MachineConfig } from '../../trace/machine-config.ts';

/** An IOMMU with pages of 4 KiB, 2 MiB and 1 GiB; each device has 4 MiB of memory in BAR 2, and knows every reset. */
const machineOf = (places: readonly Pick<DeviceConfig, 'group' | 'bus'>[]): MachineConfig => ({
  pageSize: 0x1000n,
  pageSizes: [0x1000n, 0x20_0000n, 0x4000_0000n],
  aperture: [0n, 0xffff_ffff_ffffn],
  reserved: [[0xfee0_0000n, 0xfeef_ffffn]],
  devices: new Map(
    places.map((place, i) => [
      `dev${i}`,
      { bars: new Map([[2, 0x40_0000n]]), resets: ['flr', 'pm', 'bus'] as const, ...place },
    ]),
  ),
});

export type MachineName = 'two buses' | 'one bus' | 'one group' | 'mock';

export const MACHINES: Readonly<Record<MachineName, MachineConfig>> = {
  'two buses': machineOf([
    { group: 0, bus: 1 },
    { group: 1, bus: 2 },
  ]),
  'one bus': machineOf([
    { group: 0, bus: 1 },
    { group: 1, bus: 1 },
  ]),
  'one group': machineOf([
    { group: 0, bus: 1 },
    { group: 0, bus: 1 },
  ]),
  // The selftests' IOMMU: pages of 2 KiB up to 1 GiB, and an aperture that begins late and ends early.
  mock: {
    ...machineOf([]),
    pageSizes: Array.from({ length: 20 }, (_, i) => 0x800n << BigInt(i)),
    aperture: [0x100_0000n, 0x7fff_ffffn],
    reserved: [],
  },
};

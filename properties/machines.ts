/**
 * The machines that sequences run on. Each has what the others lack, so that every answer of the protocol can occur.
 */
import type { DeviceConfig, MachineConfig } from '../trace/machine-config.ts';

const PAGE = 0x1000n;
const dev = (
  bar: number,
  size: bigint,
  group: number,
  bus: number,
  rest: Pick<DeviceConfig, 'resets' | 'hotResetErr'>,
): DeviceConfig => ({
  bars: new Map([
    [0, 0x100n],
    [bar, size],
  ]),
  group,
  bus,
  ...rest,
});

const plain = { resets: ['bus'] } as const;
/** It can be reset in every way, has power states, and its link does not come up again after a hot reset. */
const able = { resets: ['flr', 'pm', 'bus'], hotResetErr: 'ENOTTY' } as const;
const none = { resets: [] } as const;

const VTD = {
  pageSize: PAGE,
  pageSizes: [0x1000n, 0x20_0000n, 0x4000_0000n],
  aperture: [0n, (1n << 48n) - 1n],
  reserved: [[0xfee0_0000n, 0xfeef_ffffn]],
} as const;

/** By name, so that a report can say which. */
export const MACHINES: ReadonlyMap<string, MachineConfig> = new Map([
  // A large BAR, and a device with every kind of reset.
  [
    'two devices',
    {
      ...VTD,
      devices: new Map([
        ['dev0', dev(2, 0x40_0000n, 0, 1, plain)],
        ['dev3', dev(4, 0x4000n, 3, 4, able)],
      ]),
    },
  ],
  // Two functions of one slot: one group, one bus, no reset of their own.
  [
    'a group',
    {
      ...VTD,
      devices: new Map([
        ['dev0', dev(2, 0x40_0000n, 0, 1, plain)],
        ['dev4', dev(2, 0x10_0000n, 4, 5, none)],
        ['dev5', dev(2, 0x10_0000n, 4, 5, none)],
      ]),
    },
  ],
  // Domains with pages of 2 KiB, in which sub-page offsets are really mapped, and with an aperture of their own.
  [
    'small pages',
    {
      pageSize: PAGE,
      pageSizes: [0x800n, 0x10_0000n, 0x2000_0000n],
      aperture: [0x100_0000n, 0x7fff_ffffn],
      reserved: [],
      devices: new Map([
        ['dev0', dev(2, 0x40_0000n, 0, 1, plain)],
        ['dev1', dev(2, 0x1_0000n, 1, 1, able)],
      ]),
    },
  ],
  // The kernel's own test devices and test buffers, and no other.
  [
    'the test lane',
    {
      pageSize: PAGE,
      pageSizes: Array.from({ length: 20 }, (_, i) => 0x800n << BigInt(i)),
      aperture: [0x100_0000n, 0x7fff_ffffn],
      reserved: [],
      devices: new Map(),
    },
  ],
]);

/** Kernels that every machine is walked on. */
const KERNELS = ['7.2', '7.3'] as const;

/** What sequences run on: every machine on every kernel, and where buffers are mapped two of them, too. */
export const SETTINGS: readonly Readonly<{ config: MachineConfig; kernel: string }>[] = [
  ...[...MACHINES.values()].flatMap((config) => KERNELS.map((kernel) => ({ config, kernel }))),
  ...['two devices', 'a group'].map((name) => ({ config: MACHINES.get(name) as MachineConfig, kernel: 'v4' })),
];

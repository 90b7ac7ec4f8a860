/** Kinds of state, made by hand, and the calls that are made to fail there: together all that have fault points. */
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

export interface Scene {
  readonly name: string;
  readonly kernel: string;
  readonly before: readonly Command[];
  readonly calls: readonly Command[];
}

/** Every attached device reserves two ranges, so that there is something to undo when the second cannot be had. */
export const MACHINE: MachineConfig = {
  pageSize: 0x1000n,
  pageSizes: [0x1000n, 0x20_0000n],
  aperture: [0n, 0xffff_ffff_ffffn],
  reserved: [
    [0xfee0_0000n, 0xfeef_ffffn],
    [0xff00_0000n, 0xff0f_ffffn],
  ],
  devices: new Map([
    ['dev0', { bars: new Map([[2, 0x40_0000n]]), group: 0, bus: 1, resets: ['flr', 'pm', 'bus'] }],
    ['dev1', { bars: new Map([[2, 0x40_0000n]]), group: 1, bus: 2, resets: ['flr', 'pm', 'bus'] }],
    // Never reset by itself, so that its close resets the bus, for which the other has to wake up.
    ['dev2', { bars: new Map([[2, 0x1000n]]), group: 2, bus: 3, resets: [] }],
    ['dev3', { bars: new Map([[2, 0x1000n]]), group: 3, bus: 3, resets: [] }],
  ]),
};

const SIZE = 0x4000n;
/** Side by side, so that a copy can take all of them; and a place beside. */
const [A, B, C, D, E] = [0x100_0000n, 0x100_4000n, 0x100_8000n, 0x100_c000n, 0x140_0000n];
const ALL = 2n ** 64n - 1n;
const ioas = 'ioas';

const file = (fd: string, iova?: bigint): Command => {
  const map = { do: 'ioas_map_file', ioas, fd, start: 0n, length: SIZE, prot: 'rw' } as const;
  return iova === undefined ? map : { ...map, iova };
};
const memory = (iova: bigint): Command => ({
  do: 'ioas_map',
  ioas,
  mem: 'm',
  offset: 0n,
  length: SIZE,
  prot: 'rw',
  iova,
});
const attach = (dev: string, pt = ioas): Command => ({ do: 'vfio_attach', dev, pt });
const barMmap = (as: string, offset = 0n): Command => ({
  do: 'bar_mmap',
  dev: 'dev0',
  region: 2,
  offset,
  length: SIZE,
  as,
});
const peek: Command = { do: 'peek', map: 'v', offset: 0n };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas, as: 'h' };
const copy: Command = {
  do: 'ioas_copy',
  dst: 'other',
  src: ioas,
  src_iova: A,
  length: 4n * SIZE,
  dst_iova: A,
  prot: 'rw',
};
const unmapAll: Command = { do: 'ioas_unmap', ioas, iova: 0n, length: ALL };

/** Two devices, one of which exports; a buffer of the test exporter; memory of a process and of a file. */
const OPEN: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: ioas },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'other' },
  ...['dev0', 'dev1'].flatMap((dev): Command[] => [
    { do: 'vfio_open', dev },
    { do: 'vfio_bind', dev, ctx: 'ctx' },
  ]),
  { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x10_0000n]], as: 'b' },
  { do: 'mock_dmabuf', length: SIZE, as: 't' },
  { do: 'mem_alloc', as: 'm', length: 0x1_0000n },
  { do: 'memfd_create', as: 'f', length: 0x1_0000n },
];
/** One of each kind. */
const AREAS: readonly Command[] = [file('b', A), file('t', B), memory(C), file('f', D)];
const MAPS: readonly Command[] = [file('b', E), file('t', E), memory(E), file('f', E), file('b')];

const OBJECTS: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx2' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'new' },
  { do: 'ioas_iova_ranges', ioas },
  { do: 'ioas_allow_iovas', ioas: 'other', ranges: [[A, E]] },
  { do: 'ioas_option_huge_pages', ioas: 'other', enable: false },
  { do: 'destroy', obj: 'other' },
  { do: 'mem_alloc', as: 'n', length: SIZE },
  { do: 'memfd_create', as: 'g', length: SIZE },
  { do: 'fd_dup', fd: 'b', as: 'b2' },
  { do: 'mock_dmabuf', length: SIZE, as: 't2' },
];

/** On an exporting device, awake or not. */
const ON_DEVICE: readonly Command[] = [
  { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0x10_0000n, SIZE]], as: 'b2' },
  { do: 'vfio_memory', dev: 'dev0', enable: false },
  { do: 'vfio_memory', dev: 'dev0', enable: true },
  { do: 'vfio_reset', dev: 'dev0' },
  { do: 'vfio_flr', dev: 'dev0' },
  { do: 'vfio_power', dev: 'dev0', state: 3 },
  { do: 'vfio_low_power_entry', dev: 'dev0' },
  { do: 'vfio_low_power_exit', dev: 'dev0' },
  { do: 'vfio_wake', dev: 'dev0' },
  { do: 'vfio_hot_reset', dev: 'dev0' },
  barMmap('w', SIZE),
  attach('dev0'),
  { do: 'vfio_close', dev: 'dev0' },
];

const on = (name: string, before: readonly Command[], calls: readonly Command[], kernel = '7.3'): Scene => ({
  name,
  kernel,
  before: [...OPEN, ...before],
  calls,
});

const DEVICE_LOW: Command = { do: 'vfio_low_power_entry', dev: 'dev0' };

export const SCENES: readonly Scene[] = [
  on('areas and no domain', AREAS, [
    ...MAPS,
    copy,
    unmapAll,
    attach('dev1'),
    hwpt,
    { do: 'mock_domain', ioas, as: 'x', dev: 'md' },
    ...OBJECTS,
  ]),
  on(
    'areas in one domain',
    [...AREAS, attach('dev1'), attach('dev0', 'other')],
    [
      ...MAPS,
      copy,
      unmapAll,
      hwpt,
      attach('dev0'),
      { do: 'vfio_detach', dev: 'dev1' },
      { do: 'vfio_close', dev: 'dev1' },
    ],
  ),
  on(
    'areas in the domain of a test device',
    [...AREAS, { do: 'mock_domain', ioas, as: 'x', dev: 'md' }],
    [file('b', E), attach('dev0'), { do: 'mock_domain_destroy', dev: 'md' }],
  ),
  on(
    'areas in two domains',
    [...AREAS, attach('dev1'), hwpt],
    [
      ...MAPS,
      unmapAll,
      { do: 'destroy', obj: 'h' },
      { do: 'ioas_copy', dst: ioas, src: ioas, src_iova: A, length: SIZE, dst_iova: E, prot: 'rw' },
    ],
  ),
  on(
    'an area whose buffer is revoked',
    [...AREAS, attach('dev1'), { do: 'vfio_memory', dev: 'dev0', enable: false }],
    [file('b', E), copy, hwpt, attach('dev0'), ON_DEVICE[0] as Command],
  ),
  on('a buffer, awake', [file('b', A), attach('dev1')], ON_DEVICE),
  on('a buffer of a device in low power', [file('b', A), attach('dev1'), DEVICE_LOW], ON_DEVICE),
  on('a device that is closed', [{ do: 'vfio_close', dev: 'dev1' }], [{ do: 'vfio_open', dev: 'dev1' }]),
  on(
    'a device that is open',
    [
      { do: 'vfio_close', dev: 'dev1' },
      { do: 'vfio_open', dev: 'dev1' },
    ],
    [{ do: 'vfio_bind', dev: 'dev1', ctx: 'ctx' }],
  ),
  on(
    'a device without a reset of its own',
    [
      { do: 'vfio_open', dev: 'dev2' },
      { do: 'vfio_bind', dev: 'dev2', ctx: 'ctx' },
    ],
    [{ do: 'vfio_close', dev: 'dev2' }],
  ),
  on(
    'a BAR that the CPU has mapped',
    [barMmap('v')],
    [
      peek,
      { do: 'munmap', map: 'v', offset: 0x1000n, length: 0x1000n },
      { do: 'munmap', map: 'v' },
      { do: 'fork', as: 'child' },
    ],
  ),
  on(
    'the CPU sees a BAR and a buffer',
    [
      barMmap('v'),
      peek,
      { do: 'fd_mmap', fd: 'b', offset: 0n, length: SIZE, as: 'u' },
      { do: 'peek', map: 'u', offset: 0n },
    ],
    [
      { do: 'fork', as: 'child' },
      { do: 'fd_mmap', fd: 'b', offset: 0n, length: SIZE, as: 'w' },
      { do: 'peek', map: 'u', offset: 0x1000n },
      { do: 'vfio_dmabuf_memattr', dev: 'dev0', fd: 'b', attr: 1 },
      { do: 'munmap', map: 'u', offset: 0x1000n, length: 0x1000n },
      barMmap('w'),
    ],
    'v4',
  ),
];

/** What a revoke races with in an IOAS, and a mapping of the CPU. Source: iommufd 4.5, vfio-dmabuf 7.3 */
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import type { Actor, Race, Start } from './race.ts';

/** Two devices, each alone in its group and on its bus, each with 4 MiB of memory in BAR 2. */
export const TWO_DEVICES: MachineConfig = {
  pageSize: 0x1000n,
  pageSizes: [0x1000n, 0x20_0000n, 0x4000_0000n],
  aperture: [0n, 0xffff_ffff_ffffn],
  reserved: [[0xfee0_0000n, 0xfeef_ffffn]],
  devices: new Map([
    ['dev0', { bars: new Map([[2, 0x40_0000n]]), group: 0, bus: 1, resets: ['flr'] }],
    ['dev1', { bars: new Map([[2, 0x40_0000n]]), group: 1, bus: 2, resets: ['flr'] }],
  ]),
};

const on: Command = { do: 'vfio_memory', dev: 'dev0', enable: true };
const off: Command = { ...on, enable: false };
const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const map: Command = {
  do: 'ioas_map_file',
  ioas: 'ioas',
  fd: 'buf',
  start: 0n,
  length: 0x4000n,
  prot: 'rw',
  iova: 0x100_0000n,
};
const unmap: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: 0x100_0000n, length: 0x4000n };
const copy: Command = {
  do: 'ioas_copy',
  dst: 'ioas',
  src: 'ioas',
  src_iova: 0x100_0000n,
  length: 0x2000n,
  dst_iova: 0x200_0000n,
  prot: 'rw',
};
const barMmap: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v' };
const peek: Command = { do: 'peek', map: 'v', offset: 0n };

/** An IOAS, both devices bound, memory of dev0 on, and 4 MiB of it exported as `buf`. */
export const EXPORTED: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'ioas' },
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' },
  { do: 'vfio_open', dev: 'dev1' },
  { do: 'vfio_bind', dev: 'dev1', ctx: 'ctx' },
  on,
  { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x40_0000n]], as: 'buf' },
];

const start = (name: string, ...more: readonly Command[]): Start => ({ name, commands: [...EXPORTED, ...more] });
const actor = (name: string, ...does: readonly Command[]): Actor => ({ name, does });
const revoke = actor('revoke', off);

const SAME = { machine: TWO_DEVICES, kernel: '7.3' } as const;

export const REVOKES: readonly Race[] = [
  {
    ...SAME,
    name: 'map/revoke',
    source: 'iommufd 4.5, R1; vfio-dmabuf 7.3, R18',
    starts: [start('attached', attach)],
    actors: [actor('map', map), revoke],
    allowed: [{ answers: ['ok 0x1000000', 'ok'] }, { answers: ['ENODEV', 'ok'] }],
  },
  {
    ...SAME,
    name: 'unmap/revoke',
    source: 'iommufd 4.5, R2; vfio-dmabuf 7.3, R19',
    starts: [start('mapped in one domain', attach, map)],
    actors: [actor('unmap', unmap), revoke],
    allowed: [{ answers: ['ok 0x4000', 'ok'] }],
  },
  {
    ...SAME,
    name: 'copy/revoke',
    source: 'iommufd 4.5, R5',
    starts: [start('mapped', attach, map)],
    actors: [actor('copy', copy), revoke],
    allowed: [{ answers: ['ok 0x2000000', 'ok'] }],
  },
  {
    ...SAME,
    name: 'attach/revoke',
    source: 'iommufd 4.5, R3',
    starts: [start('mapped where no domain is', map), start('mapped in another domain', attachOther(), map)],
    actors: [actor('attach', attach), revoke],
    allowed: [{ answers: ['ok', 'ok'] }],
  },
  {
    ...SAME,
    name: 'fault/revoke',
    source: 'vfio-dmabuf 7.3, R8',
    starts: [start('mapped by the CPU', barMmap), start('with an entry', barMmap, peek)],
    actors: [actor('fault', peek), revoke],
    allowed: [{ answers: ['dev0:2+0x0', 'ok'] }, { answers: ['SIGBUS', 'ok'] }],
  },
];

/** dev1 brings a domain with it, so that the area is mapped before dev0 comes. */
function attachOther(): Command {
  return { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' };
}

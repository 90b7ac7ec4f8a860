/** What unit tests of areas share: a machine with a buffer to map, and the commands on its IOAS `a`. */
import { initial, type State } from '../../model/spec.ts';
import type { Command, Handle } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { device, play } from './model-rig.ts';

export const machine: MachineConfig = {
  pageSize: 0x1000n,
  pageSizes: [0x1000n, 0x20_0000n],
  aperture: [0n, 0xffff_ffff_ffffn],
  reserved: [[0xfee0_0000n, 0xfeef_ffffn]],
  devices: new Map([
    ['dev0', device(0)],
    ['dev1', device(1)],
  ]),
};
export const BASE = 0x100_0000n;

export const mapFile = (more: Partial<Extract<Command, { do: 'ioas_map_file' }>> = {}): Command => ({
  do: 'ioas_map_file',
  ioas: 'a',
  fd: 'b0',
  start: 0n,
  length: 0x4000n,
  prot: 'rw',
  iova: BASE,
  ...more,
});
export const mapUser = (more: Partial<Extract<Command, { do: 'ioas_map' }>> = {}): Command => {
  return { do: 'ioas_map', ioas: 'a', mem: 'm0', offset: 0n, length: 0x2000n, prot: 'rw', iova: BASE, ...more };
};
export const copy = (more: Partial<Extract<Command, { do: 'ioas_copy' }>> = {}): Command => ({
  do: 'ioas_copy',
  dst: 'a',
  src: 'a',
  src_iova: BASE,
  length: 0x1000n,
  prot: 'rw',
  dst_iova: 0x200_0000n,
  ...more,
});
export const attach = (pt: Handle = 'a', dev: Handle = 'dev1'): Command => ({ do: 'vfio_attach', dev, pt });
export const memory = (enable: boolean): Command => ({ do: 'vfio_memory', dev: 'dev0', enable });

/** Two devices, two IOASes, a buffer of the first 16 KiB of a BAR and one of two ranges, 32 KiB of memory, a memfd. */
export const start = (config: MachineConfig = machine, mapsBuffers = false): State =>
  play(
    initial(config, mapsBuffers),
    { do: 'iommufd_open', as: 'ctx' },
    { do: 'vfio_open', dev: 'dev0' },
    { do: 'vfio_open', dev: 'dev1' },
    { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' },
    { do: 'vfio_bind', dev: 'dev1', ctx: 'ctx' },
    { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
    { do: 'ioas_alloc', ctx: 'ctx', as: 'b' },
    { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0x1_0000n, 0x4000n]], as: 'b0' },
    {
      do: 'vfio_export',
      dev: 'dev0',
      region: 2,
      ranges: [
        [0n, 0x1000n],
        [0n, 0x1000n],
      ],
      as: 'b2',
    },
    { do: 'mem_alloc', as: 'm0', length: 0x8000n },
    { do: 'memfd_create', as: 'f0', length: 0x8000n },
  );
/** Domains of 2 KiB pages, as in the worked examples of sub-page offsets. */
export const small: MachineConfig = {
  ...machine,
  pageSizes: [0x800n],
  aperture: [0x100_0000n, 0x7fff_ffffn],
  reserved: [],
};

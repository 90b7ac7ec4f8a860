/** What unit tests of the parser share: a small trace to spoil, its steps, and the line it is then refused with. */
import { expect } from 'vitest';
import { TraceError } from '../../trace/error.ts';

export const device = { bars: { 2: '0x4000' }, group: 0, bus: 0, resets: [] };
export const machine = {
  page_size: '0x1000',
  iommu: { page_sizes: ['0x1000'], aperture: ['0x0', '0xffff'] },
  reserved: [],
  devices: { dev0: device },
};
export const trace = { format: 'dmabuf-trace', version: 2, name: 't', machine };
export const before = [
  { do: 'iommufd_open', as: 'ctx', ok: {} },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'a', ok: {} },
  { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [['0x0', '0x4000']], as: 'b', ok: {} },
];
export const map = { do: 'ioas_map_file', ioas: 'a', fd: 'b', start: '0x0', length: '0x1000', prot: 'rw' };
export const dup = { do: 'fd_dup', fd: 'b', as: 'q' };
export const call = ['map', '0x0', 'dev0:2+0x0', '0x1000'];

export const without = (value: object, key: string) => ({ ...value, [key]: undefined });

/** What a malformed trace is answered with; anything but one line of a TraceError fails the test. */
export function refusal(parsing: () => unknown): string {
  try {
    parsing();
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    expect(error.message).not.toMatch(/\n/);
    return error.message;
  }
  return 'parsed';
}

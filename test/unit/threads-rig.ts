/** What traces with threads have in common. */
import { MACHINES } from '../../properties/machines.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import type { Preemption, Step, Trace } from '../../trace/trace.ts';

const PREFIX: readonly Step[] = [
  { command: { do: 'iommufd_open', as: 'ctx' } },
  { command: { do: 'ioas_alloc', ctx: 'ctx', as: 'a' } },
  { command: { do: 'vfio_open', dev: 'dev0' } },
  { command: { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' } },
  { command: { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x400000n]], as: 'b' } },
  { command: { do: 'vfio_attach', dev: 'dev0', pt: 'a' } },
];
export const map: Step['command'] = {
  do: 'ioas_map_file',
  ioas: 'a',
  fd: 'b',
  start: 0n,
  length: 0x1000n,
  prot: 'rw',
  iova: 0x1000000n,
};
export const off: Step['command'] = { do: 'vfio_memory', dev: 'dev0', enable: false };

export const traceOf = (branches: readonly (readonly Step[])[], schedule: readonly Preemption[]): Trace => ({
  version: 2,
  name: 't',
  kernel: '7.3',
  machine: MACHINES.get('two devices') as MachineConfig,
  steps: PREFIX,
  threads: { branches, schedule },
});

/** What the tests of processes share: two functions of one bus, commands by short names, and what processes reach. */
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { CONFIG, Rig } from './iommufd-rig.ts';

export const PAGE = 0x1000n;
export const H = 0x200000n;

/** Two functions of one bus, each with all kinds of resets. */
export const BUS: MachineConfig = {
  ...CONFIG,
  devices: new Map(
    ['dev0', 'dev1'].map((name, group) => [
      name,
      { bars: new Map([[2, 0x400000n]]), group, bus: 1, resets: ['flr', 'pm'] as const },
    ]),
  ),
};

export const map = (as = 'v', length = 4n * PAGE, offset = 0n): Command => ({
  do: 'bar_mmap',
  dev: 'dev0',
  region: 2,
  offset,
  length,
  as,
});
export const peek = (offset: bigint, process?: string, name = 'v'): Command => ({
  do: 'peek',
  map: name,
  offset,
  ...(process !== undefined && { process }),
});
export const munmap = (how: { offset?: bigint; length?: bigint; process?: string } = {}): Command => ({
  do: 'munmap',
  map: 'v',
  ...how,
});
export const fork = (as = 'p'): Command => ({ do: 'fork', as });
export const exit = (process = 'p'): Command => ({ do: 'exit', process });
export const close: Command = { do: 'vfio_close', dev: 'dev0' };
export const value = (offset: bigint): Result => ({ ok: { value: `dev0:2+0x${offset.toString(16)}` } });
export const SIGBUS: Result = { ok: { signal: 'SIGBUS' } };
export const err = (errno: 'EBADF' | 'EFAULT' | 'EINVAL' | 'ENOMEM'): Result => ({ err: errno });

export function rigOf(...commands: readonly Command[]): Rig {
  const rig = new Rig(BUS);
  rig.must(...commands);
  return rig;
}

/** What processes reach without a fault: of whom, in which mapping, at which page, how many pages. */
export const reached = ({ machine }: Rig): string[] =>
  machine
    .cpuMappings()
    .map((it) => `${it.process ?? 'first'} ${it.map}+${(it.at ?? 0) / 4096} ${it.length / 4096} ${it.prot.type}`)
    .toSorted();

/** What the CPU must not reach is said, by negative controls: entries that a munmap or a reset has left behind. */
import { expect, test } from 'vitest';
import { Divergence } from '../../properties/divergence.ts';
import { MACHINES } from '../../properties/machines.ts';
import { walkCommands } from '../../properties/walk.ts';
import { newWorld } from '../../properties/world.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

const CONFIG = MACHINES.get('two devices') as MachineConfig;
const SCENE: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx0' },
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx0' },
  { do: 'vfio_open', dev: 'dev3' },
  { do: 'vfio_bind', dev: 'dev3', ctx: 'ctx0' },
  { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0x1000n, length: 0x2000n, as: 'v0' },
  { do: 'peek', map: 'v0', offset: 0x1000n },
];

/** How a command goes wrong in a machine whose page table keeps every entry. */
function withStickyEntries(command: Command): readonly [breach: string, details: readonly string[]] | undefined {
  const world = newWorld(CONFIG, '7.2');
  world.machine.mm.pageTable.zap = () => {};
  try {
    walkCommands(world, [...SCENE, command]);
    return undefined;
  } catch (error) {
    if (error instanceof Divergence) return [error.breach, error.details];
    throw error;
  }
}

test('a munmap that leaves an entry breaks reach', () => {
  const [breach, details] = withStickyEntries({ do: 'munmap', map: 'v0' }) ?? [];
  expect(breach).toBe('reach');
  expect(details).toEqual([expect.stringMatching(/^the CPU reaches dev0:2\+0x2000 at 0x[0-9a-f]+ of no mapping$/)]);
});

test.each<Command>([
  { do: 'vfio_reset', dev: 'dev0' },
  { do: 'vfio_hot_reset', dev: 'dev0' },
])('a $do that leaves an entry of a device that answers again breaks never mapped while revoked', (command) => {
  const details = ['the CPU still maps dev0:2+0x2000 after the reset'];
  expect(withStickyEntries(command)).toEqual(['never mapped while revoked', details]);
});

test('a reset of another device may leave the entry', () => {
  expect(withStickyEntries({ do: 'vfio_reset', dev: 'dev3' })).toBe(undefined);
});

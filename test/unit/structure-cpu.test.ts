/** What the CPU must not reach is said, by negative controls: entries that a munmap or a reset has left behind. */
import { describe, expect, test } from 'vitest';
import { Divergence } from '../../properties/divergence.ts';
import { MACHINES } from '../../properties/machines.ts';
import { walkCommands } from '../../properties/walk.ts';
import { newWorld, type World } from '../../properties/world.ts';
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

describe('where the CPU maps buffers', () => {
  const walk = (kernel: string, spoil: (world: World) => void, ...commands: readonly Command[]): unknown => {
    const world = newWorld(CONFIG, kernel);
    try {
      walkCommands(world, SCENE);
      spoil(world);
      walkCommands(world, commands);
      return undefined;
    } catch (error) {
      if (error instanceof Divergence) return [error.breach, ...error.details];
      throw error;
    }
  };
  const sticky = ({ machine }: World): void => {
    for (const { mm } of machine.processes) mm.pageTable.zap = () => {};
  };
  const right = (): void => {};
  const buffer: readonly Command[] = [
    { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0x4000n, 0x2000n]], as: 'b0' },
    { do: 'fd_mmap', fd: 'b0', offset: 0x1000n, length: 0x1000n, as: 'v1' },
    { do: 'peek', map: 'v1', offset: 0n },
  ];
  const forGood: Command = { do: 'vfio_dmabuf_revoke', dev: 'dev0', fd: 'b0' };
  const off: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
  const enter: Command = { do: 'vfio_low_power_entry', dev: 'dev0' };
  const lost = (map: string, at: string, place: string): readonly string[] => [
    'never mapped while revoked',
    `mapping ${map}, byte ${at}: shows ${place}, but its owner has taken it back`,
  ];

  test('an entry that a revoke for good leaves breaks never mapped while revoked, though the device answers', () => {
    expect(walk('v4', sticky, ...buffer, forGood)).toEqual(lost('v1', '0x0', 'dev0:2+0x5000'));
    expect(walk('v4', right, ...buffer, forGood)).toBe(undefined);
  });

  test.each(['7.3', 'v4'])('so does one that the entry of low power leaves, on %s', (kernel) => {
    expect(walk(kernel, sticky, enter)).toEqual(lost('v0', '0x1000', 'dev0:2+0x2000'));
    expect(walk(kernel, right, enter)).toBe(undefined);
  });

  test('so does one of a child', () => {
    const fork: Command = { do: 'fork', as: 'p0' };
    const onlyOfChildren = (world: World): void => {
      walkCommands(world, [fork]);
      for (const { process } of world.machine.children.values()) process.mm.pageTable.zap = () => {};
    };
    expect(walk('7.3', onlyOfChildren, off)).toEqual(lost('v0 of p0', '0x1000', 'dev0:2+0x2000'));
    expect(walk('7.3', right, fork, off)).toBe(undefined);
  });

  test('the zap of the series, as it is written, misses mappings of BARs', () => {
    expect(walk('v4-literal', right, off)).toEqual(lost('v0', '0x1000', 'dev0:2+0x2000'));
    expect(walk('v4', right, off)).toBe(undefined);
  });
});

test('a reset of another device may leave the entry', () => {
  expect(withStickyEntries({ do: 'vfio_reset', dev: 'dev3' })).toBe(undefined);
});

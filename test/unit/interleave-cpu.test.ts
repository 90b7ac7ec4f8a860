/**
 * The CPU's accesses to a BAR against all that takes the BAR away, in every interleaving: no entry survives, and no
 * outcome occurs but the allowed ones.
 *
 * Source: vfio-dmabuf 2.10, 6.2, R8, R14, V-32, V-47
 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { CONFIG, Rig } from './iommufd-rig.ts';

/** dev0 has power states, too. */
const POWER: MachineConfig = {
  ...CONFIG,
  devices: new Map([...CONFIG.devices].map(([name, device]) => [name, { ...device, resets: ['flr', 'pm'] }])),
};

const map: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x2000n, as: 'v' };
const mapMore: Command = { ...map, as: 'w' };
const peek: Command = { do: 'peek', map: 'v', offset: 0n };
const munmap: Command = { do: 'munmap', map: 'v' };
const close: Command = { do: 'vfio_close', dev: 'dev0' };
const reset: Command = { do: 'vfio_reset', dev: 'dev0' };
const off: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
const on: Command = { ...off, enable: true };
const sleep: Command = { do: 'vfio_power', dev: 'dev0', state: 3 };

/** What each command ended with, and how many entries of the BAR there were at the end. */
const end = (answers: readonly string[], entries: number): string => [...answers, entries].join(' ');

function short(result: Result): string {
  if ('err' in result) return result.err;
  return result.ok.value ?? result.ok.signal ?? 'ok';
}

/** The memory lock is free, so what it protects must be as promised. */
function expectNoStaleEntry(rig: Rig, device: VfioPciDevice): void {
  if (device.memoryLock.locked || rig.machine.cpuMappings().length === 0) return;
  expect([device.power, device.vconfig?.command, device.engaged], 'the CPU reaches a BAR').toEqual([0, 7, false]);
}

/** All ends of the commands, in every interleaving from a fresh world each. */
function ends(before: readonly Command[], commands: readonly Command[]): { found: Set<string>; schedules: number } {
  const found = new Set<string>();
  const schedules = exhaust((choose) => {
    const rig = new Rig(POWER);
    // A write of the register, so that its bits are known.
    rig.must(on, map, ...before);
    const device = rig.machine.devices.get('dev0') as VfioPciDevice;
    const branches = commands.map((command) => rig.machine.start(command.do, command));
    const answers = interleave(branches, choose, () => expectNoStaleEntry(rig, device));
    found.add(end(answers.map(short), rig.machine.cpuMappings().length));
    rig.expectAtRest();
  });
  return { found, schedules };
}

const BYTE = 'dev0:2+0x0';

test.each<[what: string, before: readonly Command[], commands: readonly Command[], atLeast: number, all: string[]]>([
  ['R8: a read and memory off', [], [peek, off], 105, [end([BYTE, 'ok'], 0), end(['SIGBUS', 'ok'], 0)]],
  [
    'R8: a read with an entry and memory off',
    [peek],
    [peek, off],
    34,
    [end([BYTE, 'ok'], 0), end(['SIGBUS', 'ok'], 0)],
  ],
  ['a read and memory on', [off], [peek, on], 40, [end([BYTE, 'ok'], 1), end(['SIGBUS', 'ok'], 0)]],
  ['a read and D3hot', [], [peek, sleep], 105, [end([BYTE, 'ok'], 0), end(['SIGBUS', 'ok'], 0)]],
  ['R8: a read and a reset', [], [peek, reset], 223, [end([BYTE, 'ok'], 0), end([BYTE, 'ok'], 1)]],
  [
    'R8: a read and an FLR',
    [],
    [peek, { do: 'vfio_flr', dev: 'dev0' }],
    223,
    [end([BYTE, 'ok'], 0), end([BYTE, 'ok'], 1)],
  ],
  [
    'R14: a read and a hot reset, which does not wait for a fault',
    [],
    [peek, { do: 'vfio_hot_reset', dev: 'dev0' }],
    397,
    [end([BYTE, 'EBUSY'], 1), end([BYTE, 'ok'], 0), end([BYTE, 'ok'], 1)],
  ],
  [
    'a read and its munmap',
    [],
    [peek, munmap],
    23,
    [end([BYTE, 'ok'], 0), end(['EFAULT', 'ok'], 0), end(['EBADF', 'ok'], 0)],
  ],
  ['a read and the munmap of another', [mapMore], [peek, { ...munmap, map: 'w' }], 29, [end([BYTE, 'ok'], 1)]],
  ['two reads of a page', [], [peek, peek], 876, [end([BYTE, BYTE], 1)]],
  ['two munmaps', [peek], [munmap, munmap], 6, [end(['ok', 'EBADF'], 0), end(['EBADF', 'ok'], 0)]],
  ['mmap and memory off', [], [mapMore, off], 56, [end(['ok', 'ok'], 0)]],
  ['mmap and close', [], [mapMore, close], 4, [end(['ok', 'ok'], 0), end(['EBADF', 'ok'], 0)]],
  ['memory off and munmap', [peek], [off, munmap], 56, [end(['ok', 'ok'], 0)]],
  [
    'the munmap that closes the device, and the bind of a file that was opened meanwhile',
    [peek, close, { do: 'vfio_open', dev: 'dev0' }],
    [munmap, { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' }],
    10,
    [end(['ok', 'EINVAL'], 0), end(['ok', 'ok'], 0)],
  ],
  ['close and munmap, the later of which closes the device', [peek], [close, munmap], 4, [end(['ok', 'ok'], 0)]],
])('%s end as allowed, and leave no entry while the memory is off', (_, before, commands, atLeast, all) => {
  const { found, schedules } = ends(before, commands);
  expect([...found].toSorted()).toEqual(all.toSorted());
  expect(schedules).toBeGreaterThanOrEqual(atLeast);
});

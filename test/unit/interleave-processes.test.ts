/**
 * Fork, exit, munmap of a part, and faults of parent and child against what takes the BAR away, with up to two
 * preemptions: no process keeps an entry, and no outcome occurs but the allowed ones.
 *
 * Source: vfio-dmabuf 7.3, R8, R25, V-47
 */
import { expect, test } from 'vitest';
import { following, interleave, type Schedule } from '../../explore/interleave.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { Rig } from './iommufd-rig.ts';

const map: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x3000n, as: 'v' };
const peek = (process?: string): Command => ({
  do: 'peek',
  map: 'v',
  offset: 0n,
  ...(process !== undefined && { process }),
});
const peekLast: Command = { do: 'peek', map: 'v', offset: 0x2000n };
const middle: Command = { do: 'munmap', map: 'v', offset: 0x1000n, length: 0x1000n };
const unmap: Command = { do: 'munmap', map: 'v' };
const fork: Command = { do: 'fork', as: 'p' };
const exit: Command = { do: 'exit', process: 'p' };
const off: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
const reset: Command = { do: 'vfio_reset', dev: 'dev0' };
const close: Command = { do: 'vfio_close', dev: 'dev0' };

function short(result: Result): string {
  if ('err' in result) return result.err;
  return result.ok.value ?? result.ok.signal ?? 'ok';
}

/** V-47, of every process. */
function expectNoStaleEntry({ machine }: Rig, { memoryLock, vconfig, power, engaged }: VfioPciDevice): void {
  if (memoryLock.locked || machine.cpuMappings().length === 0) return;
  expect([power, vconfig?.command, engaged], 'a process reaches a BAR').toEqual([0, 7, false]);
}

/** Runs the commands by one schedule; the end of it, and how many steps there were. */
function run(
  before: readonly Command[],
  commands: readonly Command[],
  schedule: Schedule,
): { end: string; steps: number } {
  const rig = new Rig();
  rig.must({ ...off, enable: true } as Command, map, peek(), ...before);
  const device = rig.machine.devices.get('dev0') as VfioPciDevice;
  const branches = commands.map((command) => rig.machine.start(command.do, command));
  let steps = 0;
  const answers = interleave(branches, following(schedule), () => {
    steps++;
    expectNoStaleEntry(rig, device);
  });
  rig.expectAtRest();
  const reached = rig.machine.cpuMappings().map(({ process = 'first' }) => process);
  return { end: [...answers.map(short), `[${reached.toSorted().join(' ')}]`].join(' '), steps };
}

/** The ends of all schedules with up to two preemptions. */
function ends(before: readonly Command[], commands: readonly Command[]): { found: string[]; schedules: number } {
  const found = new Set<string>();
  let schedules = 0;
  const others = commands.map((_, i) => i).slice(1);
  const add = (schedule: Schedule): number => {
    const { end, steps } = run(before, commands, schedule);
    found.add(end);
    schedules++;
    return steps;
  };
  const steps = add([]);
  for (let after = 0; after <= steps; after++) {
    for (const to of others) {
      add([{ after, to }]);
      for (let later = 1; later <= steps - after; later++)
        add([
          { after, to },
          { after: later, to: 1 },
        ]);
    }
  }
  return { found: [...found].toSorted(), schedules };
}

const BYTE = 'dev0:2+0x0';

test.each<[what: string, before: readonly Command[], commands: readonly Command[], ends: string[]]>([
  ['R25: a fork and memory off', [], [fork, off], ['ok ok []']],
  ['a fork and a reset', [], [fork, reset], ['ok ok []']],
  ["R25: a child's read and memory off", [fork], [peek('p'), off], [`${BYTE} ok []`, 'SIGBUS ok []']],
  ["R25: a child's read and a reset", [fork], [peek('p'), reset], [`${BYTE} ok []`, `${BYTE} ok [p]`]],
  ['munmap of a part and memory off', [fork], [middle, off], ['ok ok []']],
  ['the munmap of a mapping in two parts and memory off', [middle, peekLast], [unmap, off], ['ok ok []']],
  ['the exit of a child with two mappings and memory off', [middle, peekLast, fork], [exit, off], ['ok ok []']],
  ['munmap of a part and a read', [fork], [middle, peek()], [`ok ${BYTE} [first p]`]],
  ['a fork and munmap of a part', [], [fork, middle], ['ok ok [first p]']],
  ['a fork and the munmap', [], [fork, unmap], ['ok ok []', 'ok ok [p]']],
  ['a fork and close', [unmap], [fork, close], ['ok ok []']],
  ['exit and memory off', [fork, peek('p')], [exit, off], ['ok ok []']],
  ['exit and a read of the parent', [fork, peek('p')], [exit, peek()], [`ok ${BYTE} [first]`]],
  [
    "exit and the child's read",
    [fork],
    [exit, peek('p')],
    [`ok ${BYTE} [first]`, 'ok EBADF [first]', 'ok EFAULT [first]'],
  ],
  ['exit and munmap, the later of which closes the device', [fork, close], [exit, unmap], ['ok ok []']],
  ['two exits', [fork], [exit, exit], ['EBADF ok [first]', 'ok EBADF [first]']],
])('%s end as allowed, and leave no entry while the memory is off', (_, before, commands, expected) => {
  const { found, schedules } = ends(before, commands);
  expect(found).toEqual(expected.toSorted());
  expect(schedules).toBeGreaterThan(8);
});

test('a fork, a munmap of a part and a reset leave entries of nobody that the reset did not meet', () => {
  const { found } = ends([], [fork, middle, reset]);
  expect(found).toEqual(['ok ok ok []']);
});

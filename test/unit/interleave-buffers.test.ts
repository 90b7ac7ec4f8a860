/**
 * The CPU's accesses to buffers against all that takes buffers away, in every interleaving of few preemptions: no entry
 * survives, and no outcome occurs but the allowed ones. In both orders, one after the other, first.
 *
 * Source: vfio-dmabuf 6.6, 6.7, 7.3 R8 to R13, R21, R22; V-52, V-53, V-55, V-58, V-59
 */
import { describe, expect, test } from 'vitest';
import { following, interleave, type Preemption } from '../../explore/interleave.ts';
import { isFreed } from '../../impl/kernel/poison.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { CONFIG, Rig } from './iommufd-rig.ts';

const mapBar: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v' };
const mapBuf: Command = { do: 'fd_mmap', fd: 'buf', offset: 0n, length: 0x1000n, as: 'w' };
const peekBar: Command = { do: 'peek', map: 'v', offset: 0n };
const peekBuf: Command = { do: 'peek', map: 'w', offset: 0n };
const off: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
const reset: Command = { do: 'vfio_reset', dev: 'dev0' };
const revoke: Command = { do: 'vfio_dmabuf_revoke', dev: 'dev0', fd: 'buf' };
const byDup: Command = { ...revoke, fd: 'dup' };
const dup: Command = { do: 'fd_dup', fd: 'buf', as: 'dup' };
const writeCombining: Command = { do: 'vfio_dmabuf_memattr', dev: 'dev0', fd: 'buf', attr: 1 };
const close: Command = { do: 'vfio_close', dev: 'dev0' };
const closeBuf: Command = { do: 'fd_close', fd: 'buf' };
/** Without it, the close of a device does not come before that of the context. */
const closeCtx: Command = { do: 'iommufd_close', ctx: 'ctx' };

/** What each command ended with, then the status of the buffer, then how many entries of the CPU there were. */
const end = (answers: readonly string[], status: string, entries: number, type: string[] = []): string =>
  [...answers, status, entries, ...type].join(' ');

function short(result: Result): string {
  if ('err' in result) return result.err;
  return result.ok.value ?? result.ok.signal ?? 'ok';
}

const BYTE = 'dev0:2+0x0';

/** The memory lock of the device is free, so no entry shows a buffer that is revoked (V-59). */
function expectNoStaleEntry(rig: Rig): void {
  const device = rig.machine.devices.get('dev0');
  if (device === undefined || device.memoryLock.locked) return;
  for (const { dmabuf, status } of device.dmabufs) {
    if (status === 'OK') continue;
    for (const { mm, startPage, lastPage } of dmabuf.mapping.vmas) {
      expect(mm.pageTable.leaves(startPage, lastPage), `${dmabuf.name} is ${status}`).toEqual([]);
    }
  }
}

/** After a race with MEMATTR, how the mappings treat the memory. */
const types = (rig: Rig, commands: readonly Command[]): string[] =>
  commands.includes(writeCombining) ? rig.machine.mm.vmas.map(({ pageProt }) => pageProt.type) : [];

const stateOf = (buf: VfioPciDmaBuf | undefined): string => {
  if (buf === undefined) return 'none';
  return isFreed(buf) ? 'FREED' : buf.state;
};

function run(before: readonly Command[], commands: readonly Command[], schedule: readonly Preemption[]): string {
  const rig = new Rig(CONFIG, 'v4');
  rig.must(...before);
  const buf = rig.machine.devices.get('dev0')?.dmabufs[0];
  const branches = commands.map((command) => rig.machine.start(command.do, command));
  const answers = interleave(branches, following(schedule), () => expectNoStaleEntry(rig));
  rig.expectAtRest();
  return end(answers.map(short), stateOf(buf), rig.machine.cpuMappings().length, types(rig, commands));
}

const LONGEST = 60;
/** Every schedule of at most two preemptions: more steps than a thread has are the same as none. */
function ends(before: readonly Command[], commands: readonly Command[]): Set<string> {
  const found = new Set<string>([run(before, commands, []), run(before, commands, [{ after: 0, to: 1 }])]);
  for (let first = 0; first < LONGEST; first++) {
    for (let second = 1; second < LONGEST; second++) {
      found.add(
        run(before, commands, [
          { after: first, to: 1 },
          { after: second, to: 1 },
        ]),
      );
    }
  }
  return found;
}

/** Two commands; what may come of them at once, and which of that one after the other, in either order. */
interface Race {
  readonly what: string;
  readonly before?: readonly Command[];
  readonly commands: readonly [Command, Command];
  readonly sequential: readonly [firstFirst: string, secondFirst: string];
}

const RACES: readonly Race[] = [
  {
    what: 'R8: a touch of a BAR and memory off',
    before: [mapBar],
    commands: [peekBar, off],
    sequential: [end([BYTE, 'ok'], 'TEMP_REVOKED', 0), end(['SIGBUS', 'ok'], 'TEMP_REVOKED', 0)],
  },
  {
    what: 'R8: a touch of a BAR and a reset',
    before: [mapBar],
    commands: [peekBar, reset],
    sequential: [end([BYTE, 'ok'], 'OK', 0), end([BYTE, 'ok'], 'OK', 1)],
  },
  {
    what: 'R9: a touch of a buffer and the close of the device',
    before: [mapBuf],
    commands: [peekBuf, close],
    sequential: [end([BYTE, 'ok'], 'CLOSED', 0), end(['SIGBUS', 'ok'], 'CLOSED', 0)],
  },
  {
    what: 'R10: mmap of a buffer and its revoke for good',
    commands: [mapBuf, revoke],
    sequential: [end(['ok', 'ok'], 'PERM_REVOKED', 0), end(['ENODEV', 'ok'], 'PERM_REVOKED', 0)],
  },
  {
    what: 'R10: a touch of a buffer and its revoke for good',
    before: [mapBuf],
    commands: [peekBuf, revoke],
    sequential: [end([BYTE, 'ok'], 'PERM_REVOKED', 0), end(['SIGBUS', 'ok'], 'PERM_REVOKED', 0)],
  },
  {
    what: 'R11: two revokes for good',
    before: [mapBuf, peekBuf],
    commands: [revoke, revoke],
    sequential: [end(['ok', 'EBADFD'], 'PERM_REVOKED', 0), end(['EBADFD', 'ok'], 'PERM_REVOKED', 0)],
  },
  {
    what: 'R12: a revoke for good and a reset',
    before: [mapBuf, peekBuf],
    commands: [revoke, reset],
    sequential: [end(['ok', 'ok'], 'PERM_REVOKED', 0), end(['ok', 'ok'], 'PERM_REVOKED', 0)],
  },
  {
    what: 'R13: a revoke for good and the close of the last descriptor of the buffer',
    commands: [revoke, closeBuf],
    sequential: [end(['ok', 'ok'], 'FREED', 0), end(['EBADF', 'ok'], 'FREED', 0)],
  },
  {
    what: 'R21: MEMATTR and mmap',
    commands: [writeCombining, mapBuf],
    sequential: [end(['ok', 'ok'], 'OK', 0, ['WC']), end(['ok', 'ok'], 'OK', 0, ['UC'])],
  },
  {
    what: 'R22: the close of a duplicate and a revoke by it',
    before: [dup, mapBuf, peekBuf],
    commands: [{ do: 'fd_close', fd: 'dup' }, byDup],
    sequential: [end(['ok', 'EBADF'], 'OK', 1), end(['ok', 'ok'], 'PERM_REVOKED', 0)],
  },
  {
    what: 'the munmap that closes the device and a touch of a buffer',
    before: [mapBar, mapBuf, close],
    commands: [{ do: 'munmap', map: 'v' }, peekBuf],
    sequential: [end(['ok', 'SIGBUS'], 'CLOSED', 0), end(['ok', BYTE], 'CLOSED', 0)],
  },
];

const NAMED = RACES.map((race) => [race.what, race] as const);

describe('one after the other, in both orders', () => {
  test.each(NAMED)('%s', (_, { before = [], commands, sequential }) => {
    const [first, second] = commands;
    expect(run(before, commands, [])).toBe(sequential[0]);
    const rig = new Rig(CONFIG, 'v4');
    rig.must(...before);
    rig.machine.kernel.poisons = true;
    const buf = rig.machine.devices.get('dev0')?.dmabufs[0];
    const answers = [second, first].map((command) => short(rig.do(command))).reverse();
    const entries = rig.machine.cpuMappings().length;
    expect(end(answers, stateOf(buf), entries, types(rig, commands))).toBe(sequential[1]);
  });
});

/** The others are among the tables of properties/races; what order leads where stands only here. */
const AT_ONCE = NAMED.filter(([what]) => !/^R(8|9|12|13|21|22): /.test(what));

describe('at once', () => {
  test.each(AT_ONCE)('%s', (_, { before = [], commands, sequential }) => {
    expect([...ends(before, commands)].toSorted()).toEqual([...new Set(sequential)].toSorted());
  });
});

test.each([
  ['memory off', off],
  ['a revoke for good', revoke],
])('R25: no process keeps an entry of a buffer after %s, and none gets one again', (_, command) => {
  const rig = new Rig(CONFIG, 'v4');
  const { machine } = rig;
  const parent = machine.process;
  const child = machine.addProcess('child', parent.user);
  const entries = (): number[] => [parent, child].map(({ mm }) => mm.pageTable.leaves().length);
  rig.must(mapBuf, peekBuf);
  machine.runAs(child);
  rig.must({ ...mapBuf, as: 'x' });
  expect(short(rig.do({ ...peekBuf, map: 'x' }))).toBe(BYTE);
  expect(entries()).toEqual([1, 1]);
  rig.must(command);
  expect(entries()).toEqual([0, 0]);
  expect(short(rig.do({ ...peekBuf, map: 'x' }))).toBe('SIGBUS');
  machine.runAs(parent);
  expect([short(rig.do(peekBuf)), entries()]).toEqual(['SIGBUS', [0, 0]]);
});

test('the close of a context is not what revokes', () => {
  const rig = new Rig(CONFIG, 'v4');
  rig.must(mapBuf, closeCtx);
  expect(short(rig.do(peekBuf))).toBe(BYTE);
});

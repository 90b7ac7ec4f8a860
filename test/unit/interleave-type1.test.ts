/**
 * MAP_DMA of a BAR by type 1 against what takes the BAR away, in every interleaving: the number may be stale before the
 * call that read it has returned.
 *
 * Source: vfio-dmabuf 8.5
 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { type Branch, interleave } from '../../explore/interleave.ts';
import { munmap } from '../../impl/kernel/munmap.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, u64 } from '../../impl/kernel/units.ts';
import type { Vma } from '../../impl/kernel/vma.ts';
import { mapDma } from '../../impl/type1/map.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { IOVA, P, Type1Rig } from './type1-rig.ts';

/** What the other does: a command, or a call on the mapping. */
type Other = Command | ((rig: Type1Rig, vma: Vma) => Thread<Result>);

/**
 * What MAP_DMA and the other answer, and whether the CPU reaches the BAR at the end, in all interleavings; `retried` if
 * the first fault lets go of mmap_lock.
 */
function ends(other: Other, retried = false): string[] {
  const found = new Set<string>();
  exhaust((choose) => {
    const rig = new Type1Rig();
    const { kernel } = rig.machine;
    const vma = rig.bar();
    const start = (name: string, thread: Thread<Result>): Branch<Result> => {
      const task = new Task(name, kernel);
      return { task, thread: syscall(task, () => thread) };
    };
    if (retried) kernel.faults.arm(1, 'VM_FAULT_RETRY');
    const branches = [
      start('map', map(rig, vma.startPage)),
      typeof other === 'function' ? start('other', other(rig, vma)) : rig.machine.start('command', other),
    ];
    const answers = interleave(branches, choose).map((it) => ('err' in it ? it.err : 'ok'));
    const mapped = answers[0] === 'ok';
    expect([rig.reach.length, rig.container.dmas.size], 'all or nothing').toEqual(mapped ? [1, 1] : [0, 0]);
    expect(rig.machine.audit()).toEqual([]);
    found.add(`${answers.join(' ')}: the CPU ${rig.machine.cpuMappings().length > 0 ? 'reaches it' : 'does not'}`);
  });
  return [...found].sort();
}

function* map({ container, machine }: Type1Rig, startPage: number): Thread<Result> {
  const args = { vaddr: u64(startPage, 0), iova: fromBigint(IOVA), size: fromBigint(P), read: true, write: true };
  const refused = yield* mapDma(container, machine.process, args);
  return refused === undefined ? { ok: {} } : { err: refused };
}

test('against memory off it maps what is gone already, or finds nothing, or loses the entry that it made', () => {
  expect(ends({ do: 'vfio_memory', dev: 'dev0', enable: false })).toEqual([
    'EFAULT ok: the CPU does not',
    'EINVAL ok: the CPU does not',
    'ok ok: the CPU does not',
  ]);
});

test('against a reset it maps what answers again, with an entry of the CPU or without', () => {
  expect(ends({ do: 'vfio_reset', dev: 'dev0' })).toEqual([
    'EINVAL ok: the CPU does not',
    'ok ok: the CPU does not',
    'ok ok: the CPU reaches it',
  ]);
});

function* unmap({ mm }: Type1Rig, { startPage, npages }: Vma): Thread<Result> {
  const refused = yield* munmap(mm, u64(startPage, 0), u64(npages, 0));
  return refused === undefined ? { ok: {} } : { err: refused };
}

test('against munmap it maps what has left the process, or finds nothing, also after a fault that was retried', () => {
  const all = ['EFAULT ok: the CPU does not', 'ok ok: the CPU does not'];
  expect(ends(unmap)).toEqual(all);
  expect(ends(unmap, true)).toEqual(all);
});

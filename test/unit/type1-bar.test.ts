/** Type 1 on a mapping of a BAR: page numbers by way of the page table, and no reference to anything. */
import { describe, expect, test } from 'vitest';
import { touch } from '../../impl/kernel/fault.ts';
import { u64 } from '../../impl/kernel/units.ts';
import { IOVA, P, Type1Rig } from './type1-rig.ts';

const BAR = `0x${IOVA.toString(16)} → dev0:2+0x0 length 0x1000`;
const memory = (rig: Type1Rig, enable: boolean): void => rig.must({ do: 'vfio_memory', dev: 'dev0', enable });

describe('a map of a BAR', () => {
  test('that nobody has touched yet faults it in, and the peer reaches it', () => {
    const rig = new Type1Rig();
    const vma = rig.bar();
    expect(rig.machine.cpuMappings()).toEqual([]);
    expect(rig.map(vma)).toBe('ok');
    expect(rig.reach).toEqual([BAR]);
    expect(rig.machine.cpuMappings()).toHaveLength(1);
  });

  test('takes no reference: not of a file, not of the mapping, not of the device, and pins nothing', () => {
    const rig = new Type1Rig();
    const vma = rig.bar();
    const counts = () => [
      vma.file?.refs.count,
      rig.container.file.refs.count,
      rig.device().registration.count,
      rig.pinned,
      rig.mm.lockedVm,
      rig.device().memoryLock.locked,
      rig.mm.mmapLock.locked,
    ];
    const before = counts();
    expect(rig.map(vma)).toBe('ok');
    expect(counts()).toEqual(before);
    expect(rig.machine.audit()).toEqual([]);
  });

  test('goes to the domain in as few calls as there are runs, across leaves', () => {
    const rig = new Type1Rig();
    const vma = rig.bar(0x40_0000n);
    expect(rig.calls).toEqual([]);
    expect(rig.map(vma, { size: 0x40_0000n })).toBe('ok');
    expect(rig.machine.cpuMappings()).toHaveLength(2);
    expect(rig.calls).toEqual(['map 0x400000']);
  });

  test('of part of a mapping maps that part alone', () => {
    const rig = new Type1Rig();
    rig.bar(4n * P, 2n * P);
    const vma = rig.bar(2n * P, 8n * P);
    expect(rig.map(vma, { size: P })).toBe('ok');
    expect(rig.reach).toEqual(['0x1000000 → dev0:2+0x8000 length 0x1000']);
  });

  test.each([
    ['small pages', 2n * P, 3n * P],
    ['a large leaf', 0x20_0000n, 0x20_0000n + P],
  ])('past the end of the mapping, of %s, is EFAULT, and the peer reaches nothing', (_, length, size) => {
    const rig = new Type1Rig();
    expect(rig.map(rig.bar(length), { size })).toBe('EFAULT');
    expect(rig.reach).toEqual([]);
    expect(rig.container.dmas.size).toBe(0);
  });

  test('across a hole in the mapping is EFAULT; of what is left on either side it is not', () => {
    const rig = new Type1Rig();
    const { startPage } = rig.bar(3n * P);
    rig.munmap({ startPage: startPage + 1, npages: 1 });
    expect(rig.map(u64(startPage, 0), { size: 3n * P })).toBe('EFAULT');
    expect(rig.map(u64(startPage, 0))).toBe('ok');
    expect(rig.map(u64(startPage + 2, 0), { iova: IOVA + P })).toBe('ok');
    expect(rig.reach).toEqual([BAR, '0x1001000 → dev0:2+0x2000 length 0x1000']);
  });

  test('for writing, of a mapping that may only be read, is EFAULT; touched before or not', () => {
    const rig = new Type1Rig();
    const vma = rig.bar(P, 0n, { write: false });
    expect(rig.map(vma)).toBe('EFAULT');
    rig.call(touch(rig.mm, vma.startPage, vma.startPage));
    expect(rig.map(vma)).toBe('EFAULT');
    expect(rig.map(vma, { prot: 'w' })).toBe('EFAULT');
    expect(rig.map(vma, { prot: 'r' })).toBe('ok');
    expect(rig.reach).toEqual([`${BAR} read-only`]);
  });

  test('with memory off is EFAULT, even where the page was mapped before the zap', () => {
    const rig = new Type1Rig();
    const vma = rig.bar();
    rig.call(touch(rig.mm, vma.startPage, vma.startPage));
    memory(rig, false);
    expect(rig.map(vma)).toBe('EFAULT');
    expect(rig.reach).toEqual([]);
    memory(rig, true);
    expect(rig.map(vma)).toBe('ok');
  });

  test('looks the mapping up again when the fault had to let go of mmap_lock', () => {
    const rig = new Type1Rig();
    const vma = rig.bar();
    rig.machine.kernel.faults.arm(1, 'VM_FAULT_RETRY');
    expect(rig.map(vma)).toBe('ok');
    expect(rig.reach).toEqual([BAR]);
    expect(rig.mm.mmapLock.locked).toBe(false);
  });

  test('after such a fault of memory that is off is EFAULT, and ends', () => {
    const rig = new Type1Rig();
    const vma = rig.bar();
    memory(rig, false);
    rig.machine.kernel.faults.arm(1, 'VM_FAULT_RETRY');
    expect(rig.map(vma)).toBe('EFAULT');
  });

  test('without memory for a table of the process is ENOMEM', () => {
    const rig = new Type1Rig();
    const vma = rig.bar();
    rig.machine.kernel.faults.arm(1, 'pte_alloc');
    expect(rig.map(vma)).toBe('ENOMEM');
    expect(rig.reach).toEqual([]);
  });
});

describe('a number that was read', () => {
  test.each([
    ['memory off', (rig: Type1Rig) => memory(rig, false)],
    ['a reset', (rig: Type1Rig) => rig.must({ do: 'vfio_reset', dev: 'dev0' })],
    ['D3hot', (rig: Type1Rig) => rig.must({ do: 'vfio_power', dev: 'dev0', state: 3 })],
  ])('stays in the domain after %s, though the CPU has lost the page', (_, trigger) => {
    const rig = new Type1Rig();
    expect(rig.map(rig.bar())).toBe('ok');
    trigger(rig);
    expect(rig.machine.cpuMappings()).toEqual([]);
    expect(rig.reach).toEqual([BAR]);
    expect(rig.calls).toEqual(['map 0x1000']);
  });

  test('stays after munmap and close of the device, until the user unmaps it', () => {
    const rig = new Type1Rig();
    const vma = rig.bar();
    expect(rig.map(vma)).toBe('ok');
    rig.munmap(vma);
    rig.must({ do: 'vfio_close', dev: 'dev0' });
    expect(rig.device().vconfig).toBeUndefined();
    expect(rig.reach).toEqual([BAR]);
    expect(rig.unmap()).toBe(P);
    expect(rig.reach).toEqual([]);
    expect(rig.machine.audit()).toEqual([]);
  });

  test('goes when the last group leaves the container', () => {
    const rig = new Type1Rig();
    expect(rig.map(rig.bar())).toBe('ok');
    for (const vma of [...rig.mm.vmas]) rig.munmap(vma);
    for (const dev of ['dev0', 'dev1']) rig.must({ do: 'vfio_close', dev });
    rig.must({ do: 'fd_close', fd: 'container' });
    expect(rig.machine.iommu.domains.size).toBe(0);
    expect(rig.device('dev1').group.owner).toBeUndefined();
    expect(rig.machine.audit()).toEqual([]);
  });
});

/** Type 1 on RAM, which it pins and charges; and what it must not take for device memory. */
import { describe, expect, test } from 'vitest';
import { AddressSpace } from '../../impl/kernel/address-space.ts';
import { File } from '../../impl/kernel/file.ts';
import { mmap } from '../../impl/kernel/mmap.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { u64, ZERO } from '../../impl/kernel/units.ts';
import type { Mappable, Vma } from '../../impl/kernel/vma.ts';
import { IOVA, P, Type1Rig } from './type1-rig.ts';

/** A file that shows pages as a PFN map, whatever they are. */
class PfnMap implements Mappable {
  readonly mapping = new AddressSpace('pfn map');
  readonly endPage = 2 ** 40;
  readonly #pfns: readonly number[];

  constructor(pfns: readonly number[]) {
    this.#pfns = pfns;
  }

  *mmap(vma: Vma): Thread<undefined> {
    vma.flags.add('PFNMAP');
    vma.ops = {
      pfnOf: (_, page) => this.#pfns[page - vma.startPage],
      *fault(_, page, order): Thread<'NOPAGE' | 'FALLBACK' | 'SIGBUS' | 'OOM'> {
        return order === 0 ? vma.insertPfn(page, order) : 'FALLBACK';
      },
    };
    return undefined;
  }
}

function pfnMap(rig: Type1Rig, pfns: readonly number[]): Vma {
  const file = rig.within(() => new File('pfn map', new PfnMap(pfns), function* () {}));
  const vma = rig.call(mmap(rig.mm, file, { length: u64(pfns.length, 0), offset: ZERO, shared: true }));
  if (typeof vma === 'string') throw new Error(vma);
  return vma;
}

const pfnOfMemory = (rig: Type1Rig, name: string): number => {
  const backing = rig.machine.ram.backings.find((it) => it.name === name);
  if (backing === undefined) throw new Error(`no memory ${name}`);
  return backing.firstPfn;
};
const barPfn = (rig: Type1Rig): number => (rig.device().bars.get(2)?.phys ?? 0) / Number(P);

describe('a map of anonymous memory', () => {
  test('pins every page and charges the process; an unmap gives both back', () => {
    const rig = new Type1Rig();
    expect(rig.map(rig.memory(3n * P), { size: 3n * P })).toBe('ok');
    expect([rig.pinned, rig.mm.lockedVm]).toEqual([3, 3]);
    expect(rig.reach).toEqual(['0x1000000 → m+0x0 length 0x3000']);
    expect(rig.unmap(IOVA, 3n * P)).toBe(3n * P);
    expect([rig.pinned, rig.mm.lockedVm]).toEqual([0, 0]);
    expect(rig.reach).toEqual([]);
  });

  test('above RLIMIT_MEMLOCK is ENOMEM, unless the process may lock what it likes', () => {
    const rig = new Type1Rig();
    const memory = rig.memory(3n * P);
    rig.machine.process.rlimitMemlock = u64(2, 0);
    rig.machine.process.capIpcLock = false;
    expect(rig.map(memory, { size: 3n * P })).toBe('ENOMEM');
    expect([rig.pinned, rig.mm.lockedVm]).toEqual([0, 0]);
    expect(rig.map(memory, { size: 2n * P })).toBe('ok');
    rig.machine.process.capIpcLock = true;
    expect(rig.map(memory, { size: 3n * P, iova: 2n * IOVA })).toBe('ok');
    expect(rig.mm.lockedVm).toBe(5);
  });

  test('that may only be read is EFAULT for writing, and past its end for anything', () => {
    const rig = new Type1Rig();
    const memory = rig.memory(P);
    const vma = rig.mm.find(memory.page) as Vma;
    vma.flags.delete('WRITE');
    expect(rig.map(memory)).toBe('EFAULT');
    expect(rig.map(memory, { prot: 'r' })).toBe('ok');
    expect(rig.map(memory, { prot: 'r', size: 2n * P, iova: 2n * IOVA })).toBe('EFAULT');
    expect(rig.pinned).toBe(1);
  });

  test('of a process that has ended is ENODEV', () => {
    const rig = new Type1Rig();
    const memory = rig.memory(P);
    rig.mm.exited = true;
    expect(rig.map(memory)).toBe('ENODEV');
  });

  test('leaves nothing behind, whichever allocation fails', () => {
    for (let nth = 1; ; nth++) {
      const rig = new Type1Rig();
      const memory = rig.memory(2n * P);
      const { faults } = rig.machine.kernel;
      faults.arm(nth);
      const answer = rig.map(memory, { size: 2n * P });
      if (!faults.fired) break;
      faults.disarm();
      expect(answer, `fault ${nth}: ${faults.passed.at(-1)}`).toBe('ENOMEM');
      expect([rig.pinned, rig.mm.lockedVm, rig.container.dmas.size, rig.reach]).toEqual([0, 0, 0, []]);
      expect(rig.container.lock.locked || rig.mm.mmapLock.locked).toBe(false);
    }
  });
});

describe('a PFN map', () => {
  test('of RAM is EFAULT, because nobody would hold the pages', () => {
    const rig = new Type1Rig();
    rig.memory(P);
    expect(rig.map(pfnMap(rig, [pfnOfMemory(rig, 'm')]))).toBe('EFAULT');
    expect(rig.reach).toEqual([]);
    expect(rig.pinned).toBe(0);
  });

  test('that changes from a device to RAM in its middle is EFAULT, and what was mapped of it goes', () => {
    const rig = new Type1Rig();
    rig.memory(P);
    const vma = pfnMap(rig, [barPfn(rig), pfnOfMemory(rig, 'm')]);
    expect(rig.map(vma, { size: 2n * P })).toBe('EFAULT');
    expect(rig.reach).toEqual([]);
  });

  test('of device pages that do not lie in a row is mapped run by run', () => {
    const rig = new Type1Rig();
    const pfn = barPfn(rig);
    const vma = pfnMap(rig, [pfn + 1, pfn + 2, pfn]);
    expect(rig.calls).toEqual([]);
    expect(rig.map(vma, { size: 3n * P })).toBe('ok');
    expect(rig.calls).toEqual(['map 0x2000', 'map 0x1000']);
    expect(rig.reach).toEqual(['0x1000000 → dev0:2+0x1000 length 0x2000', '0x1002000 → dev0:2+0x0 length 0x1000']);
    expect(rig.unmap(IOVA, 3n * P)).toBe(3n * P);
    expect([rig.pinned, rig.mm.lockedVm]).toEqual([0, 0]);
  });
});

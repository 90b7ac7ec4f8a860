/** The audit of CPU mappings, by negative controls: each thing that is put wrong is said, in a line of its own. */
import { expect, test } from 'vitest';
import type { AddressSpace } from '../../impl/kernel/address-space.ts';
import { USER_PAGES } from '../../impl/kernel/mm.ts';
import { PAGE_SHARED } from '../../impl/kernel/pgprot.ts';
import { switchTo, Task } from '../../impl/kernel/thread.ts';
import { Vma } from '../../impl/kernel/vma.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { Rig } from './iommufd-rig.ts';

/** Two pages of a BAR are mapped, and one of them was touched. */
class Scene {
  readonly rig = new Rig();
  readonly device: VfioPciDevice;
  readonly vma: Vma;

  constructor() {
    this.rig.must(
      { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0x1000n, length: 0x2000n, as: 'v' },
      { do: 'peek', map: 'v', offset: 0n },
    );
    this.device = this.rig.machine.devices.get('dev0') as VfioPciDevice;
    this.vma = this.rig.machine.mm.vmas[0] as Vma;
  }

  get mapping(): AddressSpace {
    return this.device.mapping;
  }

  /** Do something as a system call that never ends. */
  inTask(act: (task: Task) => void): void {
    const task = new Task('stray', this.rig.machine.kernel);
    const before = switchTo(task);
    act(task);
    switchTo(before);
  }

  insert(page: number, pfn: number, order: 0 | 9 = 0): void {
    const { mm, startPage, pageProt: prot } = this.vma;
    this.inTask(() => mm.pageTable.insert({ page: startPage + page, pfn, order, prot }));
  }
}

const NO_ANSWER = /dev0 does not answer, and the CPU reaches it all the same/;
const PFN = 2 ** 38 / 0x1000;

test('a mapping that was touched has nothing to say', () => {
  expect(new Scene().rig.machine.audit()).toEqual([]);
});

test.each<[what: string, spoil: (scene: Scene) => unknown, line: RegExp]>([
  ['a mapping without its file reference', ({ vma }) => vma.file?.refs.put(), /dev0 counts 1 references, and 2 are/],
  ['a mapping that is gone and keeps its reference', ({ vma }) => vma.mm.remove(vma), /dev0 counts 2 ref.* and 1 are/],
  [
    'a mapping that the device does not know of',
    (it) =>
      it.inTask((task) => {
        it.mapping.iMmapRwsem.write.enter(task);
        it.mapping.unlink(it.vma);
      }),
    /file dev0 does not know of a mapping/,
  ],
  [
    'a mapping that is gone and that the device still knows of',
    (it) => {
      it.rig.must({ do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'w' });
      it.vma.mm.remove(it.vma);
    },
    /file dev0 knows of a mapping that is gone/,
  ],
  ['a page behind the mapping', (it) => it.insert(2, PFN + 3), /a page is mapped where nothing is/],
  ['a page that shows its neighbour', (it) => it.insert(1, PFN + 3), /a page of a mapping shows something else/],
  [
    'a leaf larger than the mapping',
    (it) => {
      const { pageTable } = it.vma.mm;
      pageTable.zap(0, USER_PAGES);
      pageTable.freeTables(0, USER_PAGES);
      it.insert(0, PFN + 1, 9);
    },
    /a page of a mapping shows something else/,
  ],
  [
    'a page that is treated in another way than its mapping',
    (it) => {
      const { vma } = it;
      it.inTask(() => vma.mm.pageTable.insert({ page: vma.startPage + 1, pfn: PFN + 2, order: 0, prot: PAGE_SHARED }));
    },
    /a page is treated in another way than its mapping/,
  ],
  [
    'a table that nobody needs',
    (it) => {
      const { vma } = it;
      it.inTask(() => vma.mm.pageTable.insert({ page: 0, pfn: 0, order: 9, prot: PAGE_SHARED }));
      vma.mm.pageTable.zap(0, 0);
    },
    /a page table is kept where nothing is mapped/,
  ],
  [
    'a mapping that was cut without telling the device',
    ({ vma }) => vma.endBefore(vma.startPage + 1),
    /file dev0 knows a mapping by other pages/,
  ],
  ['a mapping over another', ({ vma }) => vma.mm.add(new Vma(vma.mm, vma.startPage + 1, 1)), /lies over another/],
  [
    'an entry of a mapping that a zap cannot find',
    (it) => {
      it.inTask((task) => {
        it.mapping.iMmapRwsem.write.enter(task);
        it.mapping.unlink(it.vma);
      });
      Object.assign(it.device.vconfig ?? {}, { command: 1 });
    },
    /process reaches dev0:2, which does not answer/,
  ],
  [
    'an entry that a child has kept',
    (it) => {
      it.rig.must({ do: 'fork', as: 'p' });
      Object.assign(it.device.vconfig ?? {}, { command: 1 });
    },
    /p reaches dev0:2, which does not answer/,
  ],
  ['an entry while memory is off', ({ device }) => Object.assign(device.vconfig ?? {}, { command: 1 }), NO_ANSWER],
  ['an entry in D3hot', ({ device }) => Object.assign(device, { power: 3 }), NO_ANSWER],
  ['an entry while low power is entered', ({ device }) => Object.assign(device, { engaged: true }), NO_ANSWER],
  [
    'a mapping of a closed device',
    ({ device }) => Object.assign(device, { vconfig: undefined }),
    /mapped, but not open/,
  ],
  ['mmap_lock that is left locked', (it) => it.inTask((task) => it.vma.mm.mmapLock.read.enter(task)), /^mmap_lock is/],
  [
    'i_mmap_rwsem that is left locked',
    (it) => it.inTask((task) => it.mapping.iMmapRwsem.read.enter(task)),
    /dev0.i_mmap_rwsem is left locked/,
  ],
  ['a device that is bound and not counted', ({ device }) => void device.openCount--, /dev0 is open 0 times/],
])('%s is said', (_, spoil, line) => {
  const scene = new Scene();
  spoil(scene);
  expect(scene.rig.machine.audit().filter((it) => line.test(it))).toHaveLength(1);
});

/** The audit, by negative controls: each thing that is put wrong in a machine at rest is said, in a line of its own. */
import { expect, test } from 'vitest';
import { DmaBuf } from '../../impl/dmabuf/dma-buf.ts';
import { Area } from '../../impl/iommufd/area.ts';
import { Hwpt } from '../../impl/iommufd/hw-pagetable.ts';
import { Allowed, Reserved } from '../../impl/iommufd/io-pagetable.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import type { DmabufSource, Pages } from '../../impl/iommufd/pages.ts';
import { switchTo, Task } from '../../impl/kernel/thread.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import { Machine } from '../../impl/machine.ts';
import { leftovers } from '../../properties/leftovers.ts';
import { MACHINES } from '../../properties/machines.ts';
import { walkCommands } from '../../properties/walk.ts';
import { newWorld } from '../../properties/world.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

const CONFIG = MACHINES.get('two devices') as MachineConfig;

/** Device memory, user memory and a memfd, all in one domain. */
const SCENE: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx0' },
  { do: 'ioas_alloc', ctx: 'ctx0', as: 'a0' },
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx0' },
  { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x4000n]], as: 'b0' },
  { do: 'vfio_attach', dev: 'dev0', pt: 'a0' },
  { do: 'ioas_map_file', ioas: 'a0', fd: 'b0', start: 0n, length: 0x1000n, prot: 'rw', iova: 0x100_0000n },
  { do: 'mem_alloc', as: 'm0', length: 0x4000n },
  { do: 'ioas_map', ioas: 'a0', mem: 'm0', offset: 0n, length: 0x4000n, prot: 'rw', iova: 0x200_0000n },
  { do: 'memfd_create', as: 'f0', length: 0x4000n },
  { do: 'ioas_map_file', ioas: 'a0', fd: 'f0', start: 0n, length: 0x1000n, prot: 'rw', iova: 0x300_0000n },
];

class Scene {
  readonly machine = new Machine(CONFIG, '7.3');
  readonly ioas: Ioas;
  readonly hwpt: Hwpt;
  readonly areas: readonly Area[];

  constructor() {
    for (const command of SCENE) expect(this.machine.execute(command)).toHaveProperty('ok');
    const objects = [...this.machine.contexts].flatMap((ctx) => ctx.objects);
    this.ioas = objects.find((object) => object instanceof Ioas) as Ioas;
    this.hwpt = objects.find((object) => object instanceof Hwpt) as Hwpt;
    this.areas = this.ioas.iopt.areas.all();
  }

  /** The pages of the area that maps device memory. */
  get pages(): Pages {
    return this.areas[0]?.pages as Pages;
  }

  /** The pages of the area that maps user memory. */
  get memory(): Pages {
    return this.areas[1]?.pages as Pages;
  }

  get source(): DmabufSource {
    return this.pages.source as DmabufSource;
  }

  get device(): NonNullable<ReturnType<Machine['devices']['get']>> {
    return this.machine.devices.get('dev0') as NonNullable<ReturnType<Machine['devices']['get']>>;
  }

  /** One more area of the IOAS, on the pages of the first. */
  addArea(first: bigint, last: bigint, offset = 0n): void {
    const { iopt } = this.ioas;
    const area = new Area(iopt, fromBigint(first), fromBigint(last), 1, fromBigint(offset));
    iopt.areas.insert(Object.assign(area, { pages: this.pages }));
  }

  /** Do something as a system call that never ends. */
  inTask(act: (task: Task) => void): void {
    const task = new Task('stray', this.machine.kernel);
    const before = switchTo(task);
    act(task);
    switchTo(before);
  }
}

test('a machine at rest has nothing to say', () => {
  expect(new Scene().machine.audit()).toEqual([]);
});

test.each<[what: string, spoil: (scene: Scene) => unknown, line: RegExp]>([
  [
    'a file reference too many',
    (it) => it.source.dmabuf.file.get(),
    /file dev0.* counts 3 references, and 2 are found/,
  ],
  ['a pages reference too many', (it) => it.pages.kref.get(), /dmabuf pages counts 2 references, and 1 are found/],
  ['a user too many of an IOAS', (it) => void it.ioas.users++, /ioas 1 counts 3 users, and 2 are found/],
  ['a user too many of a HWPT', (it) => void it.hwpt.users++, /hwpt 3 counts 3 users, and 2 are found/],
  ['a number that is left taken', (it) => void Object.assign(it.hwpt, { finalized: false }), /hwpt 3 has a number/],
  ['a domain too few', (it) => void it.ioas.iopt.domains.pop(), /a0 has 0 domains for 1 page tables/],
  [
    'an area without pages',
    ({ areas }) => Object.assign(areas[1] as Area, { pages: undefined }),
    /an area is left in set-up/,
  ],
  [
    'an area stored nowhere',
    ({ areas }) => Object.assign(areas[1] as Area, { storage: undefined }),
    /stored in no domain/,
  ],
  ['an area across another', (it) => it.addArea(0x200_1000n, 0x200_1fffn), /a0 has two areas in one place/],
  [
    'an area in a place that is reserved',
    (it) => it.ioas.iopt.reserved.insert(new Reserved(fromBigint(0x100_0fffn), fromBigint(0x180_0000n), it)),
    /a0 has an area where nobody may map/,
  ],
  [
    'an allowed range that is reserved',
    ({ ioas }) => ioas.iopt.allowed.insert(new Allowed(fromBigint(0xfeef_ffffn), fromBigint(0xff00_0000n))),
    /a0 allows what is reserved/,
  ],
  ['an IOVA off the alignment', (it) => it.addArea(0x180_0800n, 0x180_17ffn), /an area that is not aligned to 4096/],
  ['an offset off it', (it) => it.addArea(0x180_0000n, 0x180_0fffn, 0x800n), /an area that is not aligned to 4096/],
  [
    'an alignment above that of the domains',
    ({ ioas }) => Object.assign(ioas.iopt, { alignment: 8192 }),
    /an alignment of 8192, /,
  ],
  [
    'an alignment below it',
    ({ ioas }) => Object.assign(ioas.iopt, { alignment: 1 }),
    /an alignment of 1, which nobody asks for/,
  ],
  [
    'a domain that is not tracked',
    ({ areas: [area] }) => Object.assign(area as Area, { tracked: [] }),
    /tracked for other domains/,
  ],
  [
    'a domain tracked twice',
    ({ areas: [area], hwpt }) => Object.assign(area as Area, { tracked: [hwpt.domain, hwpt.domain] }),
    /tracked for other domains/,
  ],
  ['an area that nobody has, tracked', (it) => void it.source.tracker.add(it.areas[1] as Area), /no longer its own/],
  ['device memory that is pinned', (it) => void it.pages.npinned++, /are pinned$/],
  ['a pin too many', (it) => it.machine.ram.backings[0]?.pin(0, 1), /6 pages are pinned, and 5 pins are accounted for/],
  ['a page that is pinned and not charged', (it) => void it.memory.npinned++, /user pages have 5 pages pinned, and 4/],
  [
    'a charge to a user who owes nothing',
    (it) => void it.machine.process.user.lockedVm++,
    /user root counts 1 pages, and owes for 0/,
  ],
  ['a page too few of a process', (it) => void it.machine.mm.pinnedVm--, /pinned_vm of process counts 4 .* owes for 5/],
  ['a locked page too many', (it) => void it.machine.mm.lockedVm++, /locked_vm of process counts 1 .* owes for 0/],
  [
    'a registration too many',
    ({ device }) => device.registration.get(),
    /dev0 counts 4 registrations, and 3 are found/,
  ],
  ['a device that is opened twice', ({ device }) => void device.openCount++, /dev0 is open 2 times/],
  ['a drain token too many', ({ device }) => device.dmabufs[0]?.kref.get(), /has a drain token of 2 at rest/],
  [
    'a listed buffer that has lost its device',
    ({ device }) => Object.assign(device.dmabufs[0] ?? {}, { vdev: undefined }),
    /on the list of dev0, which it has lost/,
  ],
  ['an IOAS that is left locked', (it) => it.inTask((task) => it.ioas.mutex.enter(task)), /a0 is left locked/],
  [
    'pages that are left locked',
    (it) => it.inTask((task) => it.pages.mutex.enter(task)),
    /dmabuf pages are left locked/,
  ],
  ['a buffer that is left locked', (it) => it.inTask((task) => it.source.dmabuf.resv.enter(task)), /is left locked/],
  ['a device that is left locked', (it) => it.inTask(() => it.device.memoryLock.tryWrite()), /dev0 is left locked/],
  [
    'an attachment that is gone',
    (it) =>
      it.inTask((task) => {
        it.source.dmabuf.resv.enter(task);
        it.source.dmabuf.unlink(it.source.attachment);
      }),
    /have lost their attachment/,
  ],
])('%s is said', (_what, spoil, line) => {
  const scene = new Scene();
  spoil(scene);
  expect(scene.machine.audit().filter((it) => line.test(it))).toHaveLength(1);
});

test('an object that went before anything was poisoned is passed over when its context is poisoned', () => {
  const machine = new Machine(CONFIG, '7.3');
  const opened: Command[] = [
    { do: 'iommufd_open', as: 'ctx0' },
    { do: 'ioas_alloc', ctx: 'ctx0', as: 'a0' },
    { do: 'destroy', obj: 'a0' },
  ];
  for (const command of opened) machine.execute(command);
  machine.kernel.poisons = true;
  machine.execute({ do: 'iommufd_close', ctx: 'ctx0' });
  expect(machine.audit()).toEqual([]);
});

test('an import without an attachment, and an attachment without an import, make the sums differ', () => {
  const scene = new Scene();
  const { dmabuf, attachment } = scene.source;
  scene.inTask((task) => {
    dmabuf.resv.enter(task);
    dmabuf.unlink(attachment);
    dmabuf.resv.release();
  });
  expect(scene.machine.audit()).toContain('1 imports have 0 attachments');
  expect(dmabuf).toBeInstanceOf(DmaBuf);
});

test('what accesses of the CPU and test devices leave behind is named', () => {
  const world = walkCommands(newWorld(CONFIG, '7.3'), [
    ...SCENE,
    { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v0' },
    { do: 'peek', map: 'v0', offset: 0n },
    { do: 'ioas_alloc', ctx: 'ctx0', as: 'a1' },
    { do: 'mock_domain', ioas: 'a1', as: 'x0', dev: 'md0' },
  ]);
  const left = leftovers(world);
  expect(left).toContain('process still maps file dev0');
  expect(left).toContain('the page table of process has 1 entries, and 0 tables where nothing is mapped');
  expect(left).toContain('process is charged for 5 pages, 0 of them locked');
  expect(left).toContain('the group of md0 is still owned');
});

test('what is left when everything should be closed is named, in both worlds', () => {
  const world = walkCommands(newWorld(CONFIG, '7.3'), SCENE);
  const left = leftovers(world).join('\n');
  expect(left).toMatch(/file ctx0, which counts 3/);
  expect(left).toMatch(/dmabuf pages, which counts 1/);
  expect(left).toMatch(/domain a0/);
  expect(left).toMatch(/the group of dev0 is still owned/);
  expect(left).toMatch(/dev0 still lists 1 buffers/);
  expect(left).toMatch(/4 pins of m0/);
  expect(left).toMatch(/a0 in the model/);
});

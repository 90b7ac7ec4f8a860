/**
 * Kernel code that is wrong on purpose: it keeps a pointer, somebody drops the last reference, and it uses the pointer.
 * Whatever that is a pointer to, and whatever is read, the kernel says what was used and who had freed it.
 *
 * Source: iommufd 1.1, 1.3; vfio-dmabuf 1.1, 1.3
 */
import { describe, expect, test } from 'vitest';
import { interleave } from '../../explore/interleave.ts';
import type { Area } from '../../impl/iommufd/area.ts';
import type { Hwpt } from '../../impl/iommufd/hw-pagetable.ts';
import type { Pages } from '../../impl/iommufd/pages.ts';
import { SelftestDevice } from '../../impl/iommufd/selftest.ts';
import { syscall, Task, type Thread, type WaitPoint } from '../../impl/kernel/thread.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A, attached, MOCK_LANE, mapFileOf, Rig } from './iommufd-rig.ts';
import { splatOf } from './kernel-rig.ts';

/** An IOAS with an area of a buffer, in the domain that both devices are attached to; the CPU maps a BAR. */
function world(): Rig {
  const rig = attached([mapFileOf(), { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' }]);
  rig.must({ do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v' });
  rig.machine.kernel.poisons = true;
  return rig;
}

const device = ({ machine }: Rig): VfioPciDevice => machine.devices.get('dev0') as VfioPciDevice;
const buffer = (rig: Rig): VfioPciDmaBuf => device(rig).dmabufs[0] as VfioPciDmaBuf;
const area = (rig: Rig): Area => rig.ioas().iopt.areas.all()[0] as Area;
const pages = (rig: Rig): Pages => area(rig).pages as Pages;
const hwpt = (rig: Rig): Hwpt => rig.ioas().hwpts[0] as Hwpt;

const each = (does: 'vfio_detach' | 'vfio_close'): Command[] => ['dev0', 'dev1'].map((dev) => ({ do: does, dev }));
const MUNMAP: Command = { do: 'munmap', map: 'v' };
const UNMAP: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x4000n };
const DETACH = each('vfio_detach');
const DESTROY: readonly Command[] = [...DETACH, { do: 'destroy', obj: 'ioas' }];
const CLOSE: readonly Command[] = [MUNMAP, ...each('vfio_close')];
const RELEASE: readonly Command[] = [UNMAP, { do: 'fd_close', fd: 'buf' }];

describe('what is read of something that is freed is a splat', () => {
  test.each<[field: string, keep: (rig: Rig) => object | undefined, end: readonly Command[]]>([
    ['iopt_area.pages', area, [UNMAP]],
    ['iopt_pages.source', pages, [UNMAP]],
    ['iopt_pages.kref', pages, [UNMAP]],
    ['dma_buf_attachment.importerPriv', (rig) => buffer(rig).dmabuf.attachments[0], [UNMAP]],
    ['iommufd_ioas.iopt', (rig) => rig.ioas(), DESTROY],
    ['iommufd_hwpt_paging.users', hwpt, DETACH],
    ['iommufd_device.igroup', (rig) => device(rig).iommufdDevice, CLOSE],
    ['iommufd_group.attached', (rig) => device(rig).iommufdDevice?.igroup, CLOSE],
    ['iommufd_ctx.getAny', (rig) => rig.ioas().ctx, [...CLOSE, { do: 'iommufd_close', ctx: 'ctx' }]],
    ['dma_buf.ops', (rig) => buffer(rig).dmabuf, RELEASE],
    ['file.getActive', (rig) => buffer(rig).dmabuf.file, RELEASE],
    ['vfio_pci_dma_buf.status', buffer, RELEASE],
    ['vfio_device_file.accessGranted', (rig) => device(rig).file, CLOSE],
    ['vm_area_struct.pgoff', (rig) => rig.machine.mm.vmas[0], [MUNMAP]],
  ])('%s', (field, keep, end) => {
    const rig = world();
    const kept = keep(rig) as object;
    const name = field.slice(field.indexOf('.') + 1);
    expect(rig.inTask(() => Reflect.has(kept, name))).toBe(true);
    rig.must(...end);
    expect(splatOf(() => rig.inTask(() => (kept as Record<string, unknown>)[name]))).toBe(
      `use after free: caller reads ${field}, which process has freed`,
    );
  });

  test('and what is written', () => {
    const rig = world();
    const kept = pages(rig);
    rig.must(UNMAP);
    const write = (): void => {
      kept.npinned = 1;
    };
    expect(splatOf(() => rig.inTask(write))).toBe(
      'use after free: caller writes iopt_pages.npinned, which process has freed',
    );
  });
});

function* taking(lock: WaitPoint | undefined): Thread {
  if (lock !== undefined) yield lock;
}

describe('a lock goes with what it is a part of, and whoever takes it then splats', () => {
  test.each<[lock: string, how: string, keep: (rig: Rig) => WaitPoint | undefined, end: readonly Command[]]>([
    ['pages->mutex', 'mutex_destroy', (rig) => pages(rig).mutex, [UNMAP]],
    ['ioas.mutex', 'mutex_destroy', (rig) => rig.ioas().mutex, DESTROY],
    ['iova_rwsem(R)', 'it was freed', (rig) => rig.ioas().iopt.iovaRwsem.read, DESTROY],
    ['domains_rwsem(W)', 'it was freed', (rig) => rig.ioas().iopt.domainsRwsem.write, DESTROY],
    ['igroup.lock', 'mutex_destroy', (rig) => device(rig).iommufdDevice?.igroup.lock, CLOSE],
    ['dev0.dmabuf0.resv', 'mutex_destroy', (rig) => buffer(rig).dmabuf.resv, RELEASE],
    ['dev0.dmabuf0.i_mmap_rwsem(R)', 'it was freed', (rig) => buffer(rig).dmabuf.mapping.iMmapRwsem.read, RELEASE],
  ])('%s, after %s', (lock, how, keep, end) => {
    const rig = world();
    rig.machine.kernel.poisons = false; // Nothing else is needed for that.
    const kept = keep(rig);
    rig.must(...end);
    expect(splatOf(() => rig.call(taking(kept)))).toBe(
      `use after free: caller takes ${lock.replace(/\([RW]\)/, '')} after ${how} by process`,
    );
  });

  test('unless it is held, which is a splat of whoever ends it', () => {
    const rig = world();
    const { iovaRwsem } = rig.ioas().iopt;
    iovaRwsem.read.enter(new Task('reader', rig.machine.kernel));
    expect(splatOf(() => rig.inTask(() => iovaRwsem.destroy()))).toBe(
      'use after free: caller destroys iova_rwsem, held by reader',
    );
  });

  test('or gone before', () => {
    const rig = world();
    const { mutex } = pages(rig);
    rig.must(UNMAP);
    expect(splatOf(() => rig.inTask(() => mutex.destroy()))).toBe(
      'use after free: caller destroys pages->mutex, which process has destroyed',
    );
  });

  test('and a completion with its buffer: nobody completes it, and who waits is told', () => {
    const rig = world();
    const { comp } = buffer(rig);
    rig.must(...RELEASE);
    const what = 'dev0.dmabuf0 after it was freed by process';
    expect(splatOf(() => rig.inTask(() => comp.complete()))).toBe(`use after free: caller completes ${what}`);
    expect(splatOf(() => rig.call(taking(comp)))).toBe(`use after free: caller waits for ${what}`);
  });
});

test.each<[use: string, wrong: (kept: Hwpt['domain'], at: Area) => unknown]>([
  ['filled', (domain, { iova }) => domain.map(iova, 0, 0x1000, 3)],
  ['emptied', (domain, { iova }) => domain.unmap(iova, 0x1000)],
  ['destroyed', (domain) => domain.destroy()],
])('a domain that was freed is not %s', (use, wrong) => {
  const rig = world();
  const { domain } = hwpt(rig);
  rig.must(...DETACH);
  expect(splatOf(() => rig.inTask(() => wrong(domain, area(rig))))).toBe(
    `use after free: domain ioas is ${use} by caller, and was freed by process`,
  );
});

test('a driver with an access, and the access, end together', () => {
  const rig = new AccessRig([MAP]);
  rig.machine.kernel.poisons = true;
  const mock = rig.create();
  const { access } = mock;
  rig.close(mock);
  expect(splatOf(() => rig.pin(mock, A, 0x1000n))).toMatch('selftest_access.needsPinPages, which caller has freed');
  expect(splatOf(() => access.ioas)).toMatch('an observer reads iommufd_access.ioas, which caller has freed');
});

test('a mock device ends with the object that stands for it', () => {
  const rig = new Rig(MOCK_LANE);
  rig.must({ do: 'mock_domain', ioas: 'ioas', dev: 'mock', as: 'hwpt' });
  rig.machine.kernel.poisons = true;
  const made = rig.ioas().ctx.objects.find((object) => object instanceof SelftestDevice);
  rig.must({ do: 'mock_domain_destroy', dev: 'mock' });
  expect(splatOf(() => made?.idev)).toMatch('reads selftest_obj.idev, which process has freed');
});

/** Looks an area up under a lock, and uses it under the next. */
function* lengthLater(rig: Rig): Thread<unknown> {
  const { iovaRwsem, areas } = rig.ioas().iopt;
  yield iovaRwsem.read;
  const [found] = areas.all();
  iovaRwsem.releaseRead();
  yield iovaRwsem.read;
  try {
    return found?.length;
  } finally {
    iovaRwsem.releaseRead();
  }
}

test('of two threads, one goes on with what the other frees in between', () => {
  const run = (turns: readonly number[]): unknown => {
    const rig = world();
    const task = new Task('wrong', rig.machine.kernel);
    const left = [...turns];
    const wrong = { task, thread: syscall<unknown>(task, () => lengthLater(rig)) };
    return interleave<unknown>([wrong, rig.machine.start('unmap', UNMAP)], () => left.shift() ?? 0)[0];
  };
  expect(run([0])).toEqual({ page: 4, byte: 0 });
  expect(splatOf(() => run([0, 0, 1]))).toBe('use after free: wrong reads iopt_area.length, which unmap has freed');
});

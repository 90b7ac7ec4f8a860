/** S3: each call that takes memory away, with each thing that it may have to wait for. Source: vfio-dmabuf 12.3 */
import { describe, expect, test, vi } from 'vitest';
import { Fence, USAGE, type Usage } from '../../impl/dmabuf/resv.ts';
import { importSyncFile, SYNC_READ, SYNC_WRITE, syncFile } from '../../impl/dmabuf/sync-file.ts';
import { importerDetach, importerMap, importerUnmap } from '../../impl/importers/importer.ts';
import { ZERO } from '../../impl/kernel/units.ts';
import { vfioConfigMemory, vfioDeviceReset, vfioExport } from '../../impl/vfio/ioctl.ts';
import { ImporterRig, TRIGGERS } from './importer-rig.ts';
import { BAR_START, dmaRanges } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

const UNMAP = 'the unmap of importer';

describe.each(TRIGGERS)('S3: %s', (name, trigger) => {
  test('returns at once when nobody has mapped, and calls back whoever is attached', () => {
    const it = new ImporterRig();
    for (const kind of ['prompt', 'late', 'never'] as const) it.attached(kind);
    expect(it.start(name, trigger(it.device))).toEqual([name]);
    expect(it.callbacks.slice(0, 3)).toEqual(['never', 'late', 'prompt']);
  });

  test('returns when the worker of a prompt importer has unmapped', () => {
    const it = new ImporterRig();
    const importer = it.mapped('prompt');
    expect(it.start(name, trigger(it.device))).toEqual(['worker of prompt', name]);
    expect(importer.maps).toEqual([]);
  });

  test('waits for a late importer, and returns with its last unmap', () => {
    const it = new ImporterRig();
    const importer = it.mapped('late');
    it.rig.call(importerMap(importer));
    expect(it.start(name, trigger(it.device))).toEqual([]);
    expect(it.waiting).toEqual([`${name} waits for 2 unmaps of importer late of dev0.dmabuf0`]);
    expect(it.start('unmap', importerUnmap(importer))).toEqual(['unmap', name]);
  });

  test('waits for an importer that detaches', () => {
    const it = new ImporterRig();
    const importer = it.mapped('late');
    it.start(name, trigger(it.device));
    expect(it.start('detach', importerDetach(importer))).toEqual(['detach', name]);
  });

  test('waits for ever for one that never unmaps, whatever others do, and says who is to blame', () => {
    const it = new ImporterRig();
    const never = it.mapped('never');
    const late = it.mapped('late');
    it.start(name, trigger(it.device));
    expect(it.waiting).toEqual([`${name} waits for ${UNMAP} late and ${UNMAP} never of dev0.dmabuf0`]);
    expect(it.start('unmap', importerUnmap(late))).toEqual(['unmap']);
    expect(it.start('detach', importerDetach(late))).toEqual(['detach']);
    expect(it.waiting).toEqual([`${name} waits for ${UNMAP} never of dev0.dmabuf0`]);
    // The environment is repaired.
    expect(it.start('repair', importerUnmap(never))).toEqual(['repair', name]);
  });

  test.each(Object.entries(USAGE))(
    'waits for work of usage %s (%d), with dma_resv held, and then for the unmap',
    (usage, value) => {
      const it = new ImporterRig();
      const importer = it.mapped('prompt');
      const fence = it.working(importer, value as Usage);
      expect(it.start(name, trigger(it.device))).toEqual([]);
      expect(it.waiting).toEqual([
        `${name} waits for fence work (${usage})`,
        `worker of prompt waits for dev0.dmabuf0.resv, held by ${name}, which waits for fence work (${usage})`,
      ]);
      fence.signal();
      expect(it.settle()).toEqual(['worker of prompt', name]);
    },
  );

  test.each([
    ['READ', SYNC_READ],
    ['WRITE', SYNC_WRITE],
  ])('waits for a fence that a holder of a descriptor puts in as %s', (usage, flags) => {
    const it = new ImporterRig();
    const { fds } = it.rig;
    const fence = new Fence('video', 1, 1);
    const syncFd = it.rig.within(() => fds.install(syncFile(fence))) as number;
    expect(it.rig.call(importSyncFile(fds, it.buffer.fd, flags, syncFd))).toBeUndefined();
    it.start(name, trigger(it.device));
    expect(it.waiting).toEqual([`${name} waits for fence video (${usage})`]);
    fence.signal();
    expect(it.settle()).toEqual([name]);
  });
});

describe('S10: while an importer never unmaps', () => {
  function stuck(): { it: ImporterRig; never: ReturnType<ImporterRig['mapped']> } {
    const it = new ImporterRig();
    const never = it.mapped('never');
    it.start('reset', vfioDeviceReset(it.device));
    return { it, never };
  }

  const RESET = `reset, which waits for ${UNMAP} never of dev0.dmabuf0`;

  test('other devices, their buffers and their importers go on', () => {
    const { it } = stuck();
    const other = it.rig.opened({ name: 'dev1', bars: new Map([[2, { size: 0x10000, phys: BAR_START * 2 }]]) });
    const { fd } = it.rig.exported(other);
    const prompt = it.mapped('prompt', 'prompt', fd);
    expect(it.start('other reset', vfioDeviceReset(other))).toEqual(['worker of prompt', 'other reset']);
    expect(it.rig.call(importerMap(prompt))).toBeUndefined();
    expect(it.start('other close', importerDetach(prompt))).toEqual(['other close']);
    it.rig.closeFd(fd);
    it.rig.close(other);
    expect(it.waiting).toEqual([`reset waits for ${UNMAP} never of dev0.dmabuf0`]);
  });

  test('importers of the same buffer may attach no more, and detach', () => {
    const { it } = stuck();
    const late = it.importer('late');
    expect(() => it.attached('late')).toThrow('attach answers ENODEV');
    expect(late.attachment).toBeUndefined();
  });

  test('whoever wants the memory_lock waits behind the reset, and says for whom', () => {
    const { it, never } = stuck();
    it.start('memory off', vfioConfigMemory(it.device, false));
    it.start('export', vfioExport(it.device, 2, dmaRanges([[0n, 0x1000n]]), ZERO, it.rig.fds));
    expect(it.waiting.slice(1)).toEqual([
      `memory off waits for dev0.memory_lock(W), held by ${RESET}`,
      `export waits for dev0.memory_lock(W), held by ${RESET}`,
    ]);
    expect(it.start('repair', importerUnmap(never))).toEqual(['repair', 'reset', 'memory off', 'export']);
  });

  test('descriptors close, but for what needs the memory_lock; nothing but the unmap ends the wait', () => {
    const { it, never } = stuck();
    const { fds } = it.rig;
    function* close(): Generator<never, void> {
      fds.close(it.buffer.fd);
    }
    // The importer has a reference of its own.
    expect(it.start('close', close())).toEqual(['close']);
    function* closeDevice(): Generator<never, void> {
      it.device.file?.file.put();
    }
    // So has the reset, of the device.
    expect(it.start('close of the device', closeDevice())).toEqual(['close of the device']);
    for (let i = 0; i < 100; i++) expect(it.settle()).toEqual([]);
    expect(it.start('repair', importerDetach(never))).toEqual(['repair', 'reset']);
    expect(it.device.openCount).toBe(0);
  });
});

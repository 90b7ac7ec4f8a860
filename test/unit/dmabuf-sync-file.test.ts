import { describe, expect, test, vi } from 'vitest';
import { Fence, USAGE } from '../../impl/dmabuf/resv.ts';
import {
  importSyncFile,
  SYNC_END,
  SYNC_READ,
  SYNC_WRITE,
  syncCpuAccess,
  syncFile,
} from '../../impl/dmabuf/sync-file.ts';
import { vfioConfigMemory } from '../../impl/vfio/ioctl.ts';
import { ImporterRig } from './importer-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

describe('IMPORT_SYNC_FILE', () => {
  function setup() {
    const it = new ImporterRig();
    const { rig, buffer } = it;
    const fence = new Fence('video', 1, 1);
    const syncFd = rig.within(() => rig.fds.install(syncFile(fence))) as number;
    const { refs } = buffer.dmabuf.file;
    const sync = (flags: number, fd = syncFd, of = buffer.fd) => {
      const answer = rig.call(importSyncFile(rig.fds, of, flags, fd));
      expect(refs.count, `references after ${answer ?? 'ok'}`).toBe(1);
      return answer;
    };
    return { it, fence, syncFd, sync, resv: buffer.dmabuf.resv };
  }

  test.each([
    ['without flags', 0],
    ['with an unknown flag', 4],
    ['with an unknown flag besides', 9],
  ])('%s (%d) answers EINVAL', (_, flags) => {
    const { sync, resv } = setup();
    expect([sync(flags), resv.pending(USAGE.BOOKKEEP)]).toEqual(['EINVAL', []]);
  });

  test('of what is no sync file, or into what is no buffer, answers EINVAL, and EBADF without a descriptor', () => {
    const { it, sync, syncFd } = setup();
    expect([sync(SYNC_READ, it.buffer.fd), sync(SYNC_READ, 99)]).toEqual(['EINVAL', 'EINVAL']);
    expect([sync(SYNC_READ, syncFd, 99), sync(SYNC_READ, syncFd, syncFd)]).toEqual(['EBADF', 'EINVAL']);
  });

  test('answers ENOMEM without a slot, and adds nothing', () => {
    const { it, sync, resv } = setup();
    it.rig.kernel.faults.arm(1, 'dma_resv_reserve_fences');
    expect([sync(SYNC_READ), resv.pending(USAGE.BOOKKEEP)]).toEqual(['ENOMEM', []]);
  });

  test.each([
    ['READ', SYNC_READ],
    ['WRITE', SYNC_WRITE],
    ['WRITE', SYNC_READ | SYNC_WRITE],
  ])('adds the fence with usage %s for flags %d, and keeps no reference', (usage, flags) => {
    const { sync, resv } = setup();
    expect([sync(flags), resv.pending(USAGE.BOOKKEEP)]).toEqual([undefined, [`fence video (${usage})`]]);
  });
});

describe('DMA_BUF_IOCTL_SYNC', () => {
  test.each([0, SYNC_END, 8, SYNC_READ | 8])('with flags %d answers EINVAL', (flags) => {
    const { rig, buffer } = new ImporterRig();
    expect(rig.call(syncCpuAccess(rig.fds, buffer.fd, flags))).toBe('EINVAL');
    expect(rig.call(syncCpuAccess(rig.fds, 99, SYNC_READ))).toBe('EBADF');
  });

  test.each([
    ['to read', SYNC_READ, ['KERNEL', 'WRITE']],
    ['to write', SYNC_WRITE, ['KERNEL', 'WRITE', 'READ']],
    ['to read and write', SYNC_READ | SYNC_WRITE, ['KERNEL', 'WRITE', 'READ']],
    ['to end', SYNC_WRITE | SYNC_END, []],
  ] as const)('%s (%d) waits for work of usages %o, without the lock', (_, flags, usages) => {
    const it = new ImporterRig();
    const importer = it.attached('late');
    for (const [usage, value] of Object.entries(USAGE)) it.working(importer, value, usage);
    it.start('sync', syncCpuAccess(it.rig.fds, it.buffer.fd, flags));
    const fences = usages.map((usage) => `fence ${usage} (${usage})`).join(', ');
    expect(it.waiting).toEqual(fences === '' ? [] : [`sync waits for ${fences}`]);
    expect(it.buffer.dmabuf.resv.locked).toBe(false);
  });

  test('waits in a revoked buffer, too, and keeps no reference', () => {
    const it = new ImporterRig();
    const importer = it.attached('late');
    it.rig.call(vfioConfigMemory(it.device, false));
    const fence = it.working(importer, USAGE.WRITE);
    it.start('sync', syncCpuAccess(it.rig.fds, it.buffer.fd, SYNC_READ));
    fence.signal();
    expect([it.settle(), it.buffer.dmabuf.file.refs.count]).toEqual([['sync'], 2]);
  });
});

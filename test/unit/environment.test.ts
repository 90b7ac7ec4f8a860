/** What the environment does to a device, and what its driver can still promise then. Source: vfio-dmabuf 1.3, 2.8 */
import { describe, expect, test, vi } from 'vitest';
import { importerAttach, importerUnmap } from '../../impl/importers/importer.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { vfioConfigFlr, vfioConfigMemory, vfioConfigPower } from '../../impl/vfio/ioctl.ts';
import { PCI_D3COLD } from '../../impl/vfio/pci-device.ts';
import { surpriseRemoval } from '../../impl/vfio/removal.ts';
import { vfioDeviceOpen } from '../../impl/vfio/vfio-device.ts';
import { ROWS } from './environment-rows.ts';
import { ImporterRig } from './importer-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

describe.each([['lockedElsewhere'], ['removed']] as const)('%s', (fault) => {
  const rows = ROWS.filter((row) => row.fault === fault).map(
    (row) => [row.name, row.source ?? 'derived', row] as const,
  );
  test.each(rows)('%s (%s)', (_name, _source, { before = [], calls, answers, buffer, told }) => {
    const it = new ImporterRig();
    it.attached('prompt');
    for (const call of before) expect(it.rig.call(call(it.device))).toBeUndefined();
    it.device.environment[fault] = true;
    expect(calls.map((call) => it.rig.call(call(it.device)) ?? 'ok')).toEqual(answers);
    expect([it.buffer.priv.status, it.callbacks.length > 0]).toEqual([buffer, told]);
  });
});

function* closeFd({ device }: ImporterRig): Thread {
  device.file?.file.put();
}

describe('a function that is pulled out', () => {
  test('keeps its driver until the last user closes it, and is never opened again', () => {
    const it = new ImporterRig();
    const importer = it.attached('late');
    it.start('removal', surpriseRemoval(it.device));
    expect(it.waiting).toEqual(['removal waits for 2 users of dev0']);
    expect(it.start('close', closeFd(it))).toEqual(['close', 'removal']);
    expect([it.buffer.priv.status, it.buffer.priv.vdev, it.callbacks]).toEqual(['TEMP_REVOKED', undefined, ['late']]);
    expect(it.rig.call(vfioDeviceOpen(it.device))).toBe('ENODEV');
    expect(it.rig.call(importerAttach(it.importer('late'), it.rig.fds, it.buffer.fd))).toBe('ENODEV');
    expect(importer.attachment).toBeDefined();
  });

  test('is closed by who unmaps, however late, and the report says who is missing until then', () => {
    const it = new ImporterRig();
    const never = it.mapped('never');
    it.start('removal', surpriseRemoval(it.device));
    it.start('close', closeFd(it));
    expect(it.waiting).toEqual([
      'removal waits for 2 users of dev0',
      'close waits for the unmap of importer never of dev0.dmabuf0',
    ]);
    expect(it.start('repair', importerUnmap(never))).toEqual(['repair', 'close', 'removal']);
  });

  test('in D3hot counts as without power after an FLR, which does not bring it back', () => {
    const it = new ImporterRig();
    it.rig.call(vfioConfigPower(it.device, 3));
    it.device.environment.removed = true;
    it.rig.call(vfioConfigFlr(it.device));
    expect([it.device.power, it.buffer.priv.status]).toEqual([PCI_D3COLD, 'TEMP_REVOKED']);
  });

  test('does not hold up another', () => {
    const it = new ImporterRig();
    const other = it.rig.opened({ name: 'dev1' });
    it.mapped('never');
    it.start('removal', surpriseRemoval(it.device));
    it.start('memory off', vfioConfigMemory(it.device, false));
    expect(it.start('memory off of dev1', vfioConfigMemory(other, false))).toEqual(['memory off of dev1']);
  });
});

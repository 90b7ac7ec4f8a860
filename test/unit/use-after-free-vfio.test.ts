/** The same of what only drivers of devices have: DMA maps, providers, devices themselves, eventfds. */
import { expect, test, vi } from 'vitest';
import {
  type DmaToken,
  type TokenMap,
  tokenComplete,
  tokenIssue,
  tokenRegister,
} from '../../impl/importers/dma-token.ts';
import { importerDetach } from '../../impl/importers/importer.ts';
import { type Eventfd, eventfdOf, newEventfd } from '../../impl/kernel/eventfd.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { vfioConfigMemory, vfioLowPowerEntry, vfioLowPowerExit } from '../../impl/vfio/ioctl.ts';
import { vfioPciRemove } from '../../impl/vfio/pci-probe.ts';
import { ImporterRig } from './importer-rig.ts';
import { splatOf } from './kernel-rig.ts';
import { Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

function* completing(token: DmaToken, map: TokenMap): Thread {
  tokenComplete(token, map);
}

test('a DMA map, and what its driver keeps of it, end with the last request', () => {
  const it = new ImporterRig();
  const { rig } = it;
  const token = rig.call(tokenRegister(rig.pci({ name: 'ssd' }), rig.fds, it.buffer.fd, it.workers)) as DmaToken;
  const map = rig.call(tokenIssue(token)) as TokenMap;
  const { table } = map;
  rig.kernel.poisons = true;
  it.start('off', vfioConfigMemory(it.device, false));
  it.start('complete', completing(token, map));
  const worker = 'which release of map 1 of ssd has freed';
  expect(splatOf(() => table.entries)).toMatch(`reads sg_table.entries, ${worker}`);
  expect(splatOf(() => map.fence)).toMatch(`reads io_dmabuf_map.fence, ${worker}`);
});

test('the attachment of an importer ends with its detach', () => {
  const it = new ImporterRig();
  const importer = it.mapped('late');
  const { attachment } = importer;
  it.rig.kernel.poisons = true;
  it.rig.call(importerDetach(importer));
  expect(splatOf(() => attachment?.dmabuf)).toMatch('dma_buf_attachment.dmabuf, which caller has freed');
});

test('a device ends when its driver has left it, and with it the providers of its BARs', () => {
  const rig = new Rig();
  const device = rig.device();
  const { memoryLock, pci } = device;
  const provider = pci.p2pdma?.mem.get(2);
  rig.kernel.poisons = true;
  rig.call(vfioPciRemove(device));
  expect(splatOf(() => device.registration)).toMatch('vfio_pci_core_device.registration, which caller has freed');
  expect(splatOf(() => provider?.busOffset)).toMatch('p2pdma_provider.busOffset, which caller has freed');
  expect(splatOf(() => rig.within(() => memoryLock.tryWrite()))).toMatch('memory_lock after it was freed by caller');
});

test('an eventfd ends when its file is closed, and no device is to tell it of a wakeup', () => {
  const rig = new Rig();
  const device = rig.opened();
  rig.kernel.poisons = true;
  const file = newEventfd();
  const eventfd = eventfdOf(file) as Eventfd;
  rig.call(vfioLowPowerEntry(device, true, eventfd));
  rig.within(() => file.put());
  expect(eventfd.count).toBe(0);
  rig.call(vfioLowPowerExit(device));
  expect(splatOf(() => rig.within(() => eventfd.signal()))).toMatch('eventfd_ctx.signal, which caller has freed');
});

/** The hierarchy of a machine that a trace asks for: a root port for each bus, and what that means for its buffers. */
import { expect, test } from 'vitest';
import { type Attachment, dynamicAttach, mapAttachment, unmapAttachment } from '../../impl/dmabuf/attachment.ts';
import { type DmaBuf, dmaBufOf } from '../../impl/dmabuf/dma-buf.ts';
import type { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { DmaDirect } from '../../impl/iommu/dma-direct.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { calcMapTypeAndDist, MAP } from '../../impl/pci/map-type.ts';
import { isPci, PciFunction } from '../../impl/pci/topology.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { CONFIG, Rig } from './iommufd-rig.ts';

const device = (group: number, bus: number) =>
  ({ bars: new Map([[2, 0x400000n]]), group, bus, resets: ['flr'] }) as const;
/** Two functions on one bus, one on another. */
const BUSES: MachineConfig = {
  ...CONFIG,
  devices: new Map([
    ['dev0', device(0, 1)],
    ['dev1', device(1, 1)],
    ['dev2', device(2, 5)],
  ]),
};

const pciOf = (rig: Rig, name: string): PciFunction => (rig.machine.devices.get(name) as VfioPciDevice).pci;

test('each bus of a machine is below a root port of its own, of one host bridge', () => {
  const rig = new Rig(BUSES);
  const all = ['dev0', 'dev1', 'dev2'].map((name) => pciOf(rig, name));
  expect(all.map(({ upstream }) => upstream?.name)).toEqual(['port1', 'port1', 'port5']);
  expect(all.map(({ bus, devfn }) => [bus, devfn])).toEqual([
    [1, 0],
    [1, 1],
    [2, 0],
  ]);
  expect(new Set(all.map(({ host }) => host))).toEqual(new Set([rig.machine.hostBridge]));
});

test('devices of a machine reach each other through the host bridge, since its ports redirect', () => {
  const rig = new Rig(BUSES);
  const types = ['dev0', 'dev1', 'dev2'].map((name) => calcMapTypeAndDist(pciOf(rig, 'dev0'), pciOf(rig, name)).type);
  expect(types).toEqual([MAP.BUS_ADDR, MAP.THRU_HOST_BRIDGE, MAP.THRU_HOST_BRIDGE]);
});

function* mapped(dmabuf: DmaBuf, nic: PciFunction): Thread<readonly string[]> {
  const attached = yield* dynamicAttach(dmabuf, nic, { allowPeer2peer: true, *invalidateMappings() {} }, undefined);
  const attachment = attached as Attachment;
  yield dmabuf.resv;
  try {
    const table = (yield* mapAttachment(attachment)) as SgTable;
    const { lines } = (nic.dma as DmaDirect).live;
    unmapAttachment(attachment, table);
    return lines;
  } finally {
    dmabuf.resv.release();
  }
}

test('a function of the machine maps a buffer that is in an IOAS at the same time; iommufd is no function', () => {
  const rig = new Rig(BUSES);
  rig.export('b', [[0x1000n, 0x2000n]]);
  rig.mapFile({ fd: 'b', length: 0x2000n });
  const file = rig.machine.fds.lookup(rig.fd('b'));
  const dmabuf = (file && dmaBufOf(file)) as DmaBuf;
  expect(dmabuf.attachments.map(({ dev }) => [dev.name, isPci(dev)])).toEqual([['iommufd', false]]);
  const nic = new PciFunction({ name: 'nic', parent: rig.machine.hostBridge, dma: new DmaDirect() });
  const { phys = 0 } = pciOf(rig, 'dev0').bars.get(2) ?? {};
  expect(rig.call(mapped(dmabuf, nic))).toEqual([`0x${(phys + 0x1000).toString(16)} length 0x2000 × 1`]);
  expect((nic.dma as DmaDirect).live.lines).toEqual([]);
});

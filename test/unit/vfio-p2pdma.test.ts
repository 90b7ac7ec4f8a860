/**
 * Memory of a function under vfio-pci, lent to other functions: providers, and what a map of its buffer answers.
 *
 * Source: vfio-dmabuf 5.1, 5.2, 5.4
 */
import { describe, expect, test, vi } from 'vitest';
import { detach } from '../../impl/dmabuf/attachment.ts';
import type { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { DmaDirect } from '../../impl/iommu/dma-direct.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { fromBigint, toBigint, ZERO } from '../../impl/kernel/units.ts';
import { busAddrMap, type P2pdmaProvider, pcimP2pdmaInit, pcimP2pdmaProvider } from '../../impl/pci/p2pdma.ts';
import { type BarResource, HostBridge, PCI_ACS_RR, PciFunction } from '../../impl/pci/topology.ts';
import { vfioConfigMemory } from '../../impl/vfio/ioctl.ts';
import { vfioPciProbe, vfioPciRemove } from '../../impl/vfio/pci-probe.ts';
import { BAR_SIZE, BAR_START, Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

/** Two windows of the host bridge, which are moved by different distances. */
const BARS: ReadonlyMap<number, BarResource> = new Map([
  [0, { size: 0x1000, phys: 0x40_0000_0000, busAddress: 0xe000_0000 }],
  [2, { size: BAR_SIZE, phys: 0x50_0000_0000, busAddress: 0x60_0000_0000 }],
  [3, { size: 0x100, phys: 0x8000, io: true }],
  [4, { size: BAR_SIZE, phys: 0x70_0000_0000 }],
]);
const ALL = [0, 1, 2, 3, 4, 5];

describe('providers', () => {
  test('are there for every memory BAR, each with the bus offset of its own', () => {
    const { pci } = new Rig().device({ bars: BARS });
    const offsets = ALL.map((bar) => pcimP2pdmaProvider(pci, bar)?.busOffset);
    const [low, high] = [0xffffffc0e0000000n, 0x1000000000n].map(fromBigint);
    expect(offsets).toEqual([low, undefined, high, undefined, ZERO, undefined]);
    expect(pcimP2pdmaProvider(pci, 0)?.owner).toBe(pci);
  });

  test('give the bus address of a physical one, modulo 2^64', () => {
    const { pci } = new Rig().device({ bars: BARS });
    const address = (bar: number, phys: number): bigint =>
      toBigint(busAddrMap(pcimP2pdmaProvider(pci, bar) as P2pdmaProvider, phys));
    expect(address(0, 0x4000001000)).toBe(0xe0001000n);
    expect(address(2, 0x5000ffffff)).toBe(0x6000ffffffn);
    expect(address(4, 0x7000000000)).toBe(0x7000000000n);
    expect(address(0, 0x3f_2000_0000 - 1)).toBe(2n ** 64n - 1n);
    expect(address(0, 0x3f_2000_0000)).toBe(0n);
  });

  test('are made once: a second init keeps them and what was found out of clients', () => {
    const rig = new Rig();
    const { pci } = rig.device({ bars: BARS });
    const { p2pdma } = pci;
    rig.kernel.faults.arm(1);
    expect(rig.within(() => pcimP2pdmaInit(pci))).toBeUndefined();
    expect(pci.p2pdma).toBe(p2pdma);
  });

  test('are not there when no BAR can be mapped, and nothing of it is exported, but the device works', () => {
    const rig = new Rig();
    const device = rig.opened({ bars: BARS, place: { nonMappableBars: true } });
    expect(rig.within(() => pcimP2pdmaInit(device.pci))).toBe('EOPNOTSUPP');
    expect(device.pci.p2pdma).toBeUndefined();
    expect(ALL.map((bar) => pcimP2pdmaProvider(device.pci, bar))).toEqual(ALL.map(() => undefined));
    expect(ALL.map((bar) => rig.tryExport(device, [[0n, 0x1000n]], bar))).toEqual(ALL.map(() => 'ENODEV'));
  });

  test('that are asked for before they are made are a splat; of a BAR that has none they are not', () => {
    const rig = new Rig();
    const pci = rig.pci({ name: 'new', bars: BARS });
    expect(() => pcimP2pdmaProvider(pci, 0)).toThrow('new: a provider is asked for before pcim_p2pdma_init()');
    expect([1, 3].map((bar) => pcimP2pdmaProvider(pci, bar))).toEqual([undefined, undefined]);
  });
});

describe('the probe', () => {
  const config = (rig: Rig, pci: PciFunction) => ({
    ...{ pci, group: rig.group, reserved: [], devSet: rig.devSet, resets: [] },
  });

  test('fails when there is no memory for providers', () => {
    const rig = new Rig();
    const pci = rig.pci({ name: 'dev0', bars: BARS });
    rig.kernel.faults.arm(1, 'pcim_p2pdma_init');
    expect(rig.call(vfioPciProbe(config(rig, pci)))).toBe('ENOMEM');
    expect([pci.p2pdma, rig.devSet.devices]).toEqual([undefined, []]);
    expect(isErrno(rig.call(vfioPciProbe(config(rig, pci))))).toBe(false);
  });

  test('tolerates that no BAR can be mapped', () => {
    const rig = new Rig();
    const pci = rig.pci({ name: 'dev0', bars: BARS, nonMappableBars: true });
    expect(isErrno(rig.call(vfioPciProbe(config(rig, pci))))).toBe(false);
  });

  test('is undone by remove: providers that are held are of no use, and what was found out is gone', () => {
    const rig = new Rig();
    const device = rig.opened();
    const importer = rig.attach(rig.exported(device));
    rig.unmap(importer, rig.map(importer));
    rig.close(device);
    rig.call(vfioPciRemove(device));
    expect(device.pci.p2pdma).toBeUndefined();
    expect(rig.map(importer)).toBe('ENODEV');
  });
});

describe('a map', () => {
  const addresses = ({ entries }: SgTable): bigint[] => entries.map(({ dmaAddress }) => toBigint(dmaAddress));

  test.each([
    [2, 0x60_0000_1000n],
    [4, 0x70_0000_1000n],
  ])("of a buffer of BAR %d uses that BAR's bus offset", (region, address) => {
    const rig = new Rig();
    const device = rig.opened({ bars: BARS });
    const fd = rig.tryExport(device, [[0x1000n, 0x1000n]], region);
    const importer = rig.attach(rig.behind(fd as number));
    expect(addresses(rig.map(importer) as SgTable)).toEqual([address]);
  });

  test('gives the ranges in the order of the export, also when they overlap or repeat', () => {
    const rig = new Rig();
    const ranges = [
      [0x3000n, 0x2000n],
      [0n, 0x1000n],
      [0x3000n, 0x2000n],
      [0x1000n, 0x1000n],
    ] as const;
    const importer = rig.attach(rig.exported(rig.opened(), ranges));
    const table = rig.map(importer) as SgTable;
    expect(addresses(table)).toEqual(ranges.map(([offset]) => BigInt(BAR_START) + offset));
    expect(table.entries.map(({ dmaLength }) => BigInt(dmaLength))).toEqual(ranges.map(([, length]) => length));
  });

  test('by the host bridge is by the DMA API of the importer, not of the exporter', () => {
    const rig = new Rig();
    const buffer = rig.exported(rig.opened());
    const [mine, theirs] = [new DmaDirect(), rig.exported(rig.opened({ name: 'dev1' })).priv.vdev?.pci.dma];
    const host = new HostBridge({ vendor: 'amd', family: 0x17 });
    const far = new PciFunction({ name: 'far', parent: host, dma: mine });
    Object.assign(rig.host, { platform: host.platform });
    const importer = rig.attach(buffer, far);
    const table = rig.map(importer);
    expect(mine.live.lines).toEqual([`0x${BAR_START.toString(16)} length 0x1000 × 1`]);
    expect((theirs as DmaDirect).live.lines).toEqual([]);
    rig.unmap(importer, table);
    expect(mine.live.lines).toEqual([]);
  });

  test.each([
    ['that is no PCI function', (): { name: string } => ({ name: 'iommufd' })],
    ['below another root port', (rig: Rig) => new PciFunction({ name: 'far', parent: rig.host })],
    ['behind a redirecting port', (rig: Rig) => rig.pci({ name: 'nic', acs: PCI_ACS_RR })],
  ])('for a device %s is EINVAL, takes no token, and attach was allowed', (_, device) => {
    const rig = new Rig();
    const exporter = rig.opened();
    const buffer = rig.exported(exporter);
    const importer = rig.attach(buffer, device(rig));
    expect(rig.map(importer)).toBe('EINVAL');
    expect(buffer.priv.kref.count).toBe(1);
    expect(rig.call(vfioConfigMemory(exporter, false)), 'a revoke waits for nobody').toBeUndefined();
    rig.call(detach(importer.attachment));
  });

  /** What a map can fail of, in the documented order; each leaves all that follow standing. */
  const obstacles = [
    ['ENODEV', 'the buffer is revoked'],
    ['ENOMEM', 'no memory for what is to be undone'],
    ['EINVAL', 'nothing leads from one to the other'],
    ['ENOMEM', 'no memory for a window'],
    ['ENOMEM', 'no memory for the table'],
    ['EPERM', 'the DMA API refuses'],
  ] as const;
  const SITES = [undefined, 'dma_buf_phys_vec_to_sgt', undefined, 'dma_iova_state', 'sg_alloc_table', undefined];

  test.each(obstacles.map(([errno, what], at) => ({ errno, what, at })))(
    'answers $errno when $what, whatever else would stop it later',
    ({ errno, at }) => {
      const rig = new Rig();
      const device = rig.opened();
      const buffer = rig.exported(device);
      const supported = at > 2;
      const host = supported ? new HostBridge({ vendor: 'amd', family: 0x17 }) : rig.host;
      if (supported) Object.assign(rig.host, { platform: host.platform });
      const far = new PciFunction({ name: 'far', parent: host, dma: new DmaDirect({ bounce: true }) });
      const importer = rig.attach(buffer, far);
      if (at === 0) rig.call(vfioConfigMemory(device, false));
      const later = SITES.findIndex((site, i) => i >= at && site !== undefined);
      if (later >= 0) rig.kernel.faults.arm(1, SITES[later]);
      expect(rig.map(importer)).toBe(errno);
      rig.kernel.faults.disarm();
      expect(buffer.priv.kref.count).toBe(1);
    },
  );
});

import { describe, expect, test, vi } from 'vitest';
import {
  type Attachment,
  detach,
  dynamicAttach,
  type ImporterOps,
  mapAttachment,
  pin,
} from '../../impl/dmabuf/attachment.ts';
import { type DmaBuf, dmaBufExport, dmaBufVmap } from '../../impl/dmabuf/dma-buf.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { vfioConfigMemory } from '../../impl/vfio/ioctl.ts';
import { vfioPciDmaBufIommufdMap, vfioPciDmaBufOf } from '../../impl/vfio/pci-dmabuf.ts';
import { BAR_START, Importer, Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

const NIC = { name: 'nic' };

function* nothing(): ReturnType<NonNullable<ImporterOps['invalidateMappings']>> {}

describe('attach', () => {
  const table = [false, true].flatMap((dynamic) =>
    [false, true].flatMap((peer2peer) =>
      [false, true].flatMap((invalidate) =>
        [false, true].map((revoked) => {
          if (!dynamic || !peer2peer) return { dynamic, peer2peer, invalidate, revoked, answer: 'EOPNOTSUPP' };
          const answer = revoked ? 'ENODEV' : invalidate ? undefined : 'EOPNOTSUPP';
          return { dynamic, peer2peer, invalidate, revoked, answer };
        }),
      ),
    ),
  );

  test.each(table)(
    'to a buffer, revoked: $revoked, dynamic: $dynamic, peer2peer: $peer2peer, told: $invalidate, answers $answer',
    ({ dynamic, peer2peer, invalidate, revoked, answer }) => {
      const rig = new Rig();
      const device = rig.opened();
      const { dmabuf } = rig.exported(device);
      if (revoked) rig.call(vfioConfigMemory(device, false));
      const ops: ImporterOps = { allowPeer2peer: peer2peer, ...(invalidate && { invalidateMappings: nothing }) };
      const attachment = rig.call(dynamicAttach(dmabuf, NIC, dynamic ? ops : undefined, undefined));
      expect(isErrno(attachment) ? attachment : undefined).toBe(answer);
      expect(dmabuf.attachments).toHaveLength(answer === undefined ? 1 : 0);
    },
  );

  test('to a buffer that is revoked right after it was asked succeeds, and the map answers ENODEV', () => {
    const rig = new Rig();
    const device = rig.opened();
    const buffer = rig.exported(device);
    const importer = new Importer();
    const attacher = rig.actor('attach', dynamicAttach(buffer.dmabuf, NIC, importer.ops, undefined));
    attacher.runTo('resv');
    rig.call(vfioConfigMemory(device, false));
    expect(attacher.run()).toBe(true);
    importer.attachment = attacher.answer as Attachment;
    expect(importer.calls).toBe(0);
    expect(rig.map(importer)).toBe('ENODEV');
  });

  test('of an importer outlives a revoke, and maps again without attaching again', () => {
    const rig = new Rig();
    const device = rig.opened();
    const buffer = rig.exported(device);
    const importer = rig.attach(buffer);
    rig.call(vfioConfigMemory(device, false));
    expect(rig.map(importer)).toBe('ENODEV');
    rig.call(vfioConfigMemory(device, true));
    rig.unmap(importer, rig.map(importer));
    rig.call(detach(importer.attachment));
    expect(buffer.dmabuf.attachments).toEqual([]);
  });
});

describe('the kernel', () => {
  test('has no mapping of its own of a buffer, and pins it without asking', () => {
    const rig = new Rig();
    const buffer = rig.exported(rig.opened());
    const { attachment } = rig.attach(buffer);
    expect(rig.holding(buffer.dmabuf.resv, () => dmaBufVmap(buffer.dmabuf))).toBe('EINVAL');
    expect(rig.holding(buffer.dmabuf.resv, () => pin(attachment))).toBeUndefined();
    expect(() => rig.within(() => dmaBufVmap(buffer.dmabuf))).toThrow('must be held here');
  });
});

describe('map', () => {
  test('takes a token, and unmap gives it back', () => {
    const rig = new Rig();
    const buffer = rig.exported(rig.opened());
    const importer = rig.attach(buffer);
    const [first, second] = [rig.map(importer), rig.map(importer)];
    expect([buffer.priv.kref.count, buffer.priv.liveMaps]).toEqual([3, 2]);
    rig.unmap(importer, first);
    rig.unmap(importer, second);
    expect([buffer.priv.kref.count, buffer.priv.comp.ready()]).toEqual([1, false]);
  });

  test('that fails takes no token, so a revoke has nothing to wait for', () => {
    const rig = new Rig();
    const device = rig.opened();
    const buffer = rig.exported(device);
    const importer = rig.attach(buffer);
    rig.kernel.faults.arm(1, 'dma_buf_phys_vec_to_sgt');
    expect(rig.map(importer)).toBe('ENOMEM');
    expect(buffer.priv.kref.count).toBe(1);
    expect(rig.call(vfioConfigMemory(device, false))).toBeUndefined();
  });

  test('gives the ranges in the order of the export', () => {
    const rig = new Rig();
    const buffer = rig.exported(rig.opened(), [
      [0x2000n, 0x1000n],
      [0n, 0x1000n],
    ]);
    const importer = rig.attach(buffer);
    const table = rig.holding(buffer.dmabuf.resv, () => mapAttachment(importer.attachment));
    expect(isErrno(table) || table.ranges).toEqual([
      { paddr: BAR_START + 0x2000, len: 0x1000 },
      { paddr: BAR_START, len: 0x1000 },
    ]);
  });
});

describe('the private interconnect', () => {
  const iommufdMap = (rig: Rig, { attachment }: Importer) =>
    rig.holding(attachment.dmabuf.resv, () => vfioPciDmaBufIommufdMap(attachment));

  const TWO = [
    [0n, 0x1000n],
    [0x1000n, 0x1000n],
  ] as const;

  test('tells the one range, and takes no reference', () => {
    const rig = new Rig();
    const buffer = rig.exported(rig.opened(), [[0x3000n, 0x2000n]]);
    expect(iommufdMap(rig, rig.attach(buffer))).toEqual({ paddr: BAR_START + 0x3000, len: 0x2000 });
    expect([buffer.priv.kref.count, buffer.dmabuf.file.refs.count]).toEqual([1, 1]);
  });

  test.each([
    ['of one range while usable', undefined, [[0n, 0x1000n]], false],
    ['of one range while revoked', 'ENODEV', [[0n, 0x1000n]], true],
    ['of two ranges while usable', 'EOPNOTSUPP', TWO, false],
    ['of two ranges while revoked', 'ENODEV', TWO, true],
  ] as const)('for a buffer %s answers %s', (_, answer, ranges, revoked) => {
    const rig = new Rig();
    const device = rig.opened();
    const importer = rig.attach(rig.exported(device, ranges));
    if (revoked) rig.call(vfioConfigMemory(device, false));
    const mapped = iommufdMap(rig, importer);
    expect(isErrno(mapped) ? mapped : undefined).toBe(answer);
  });

  test("for another exporter's buffer answers EOPNOTSUPP", () => {
    const rig = new Rig();
    const ops = { mapDmaBuf: () => 'EINVAL' as const, unmapDmaBuf: () => {}, release: nothing };
    const dmabuf = rig.within(() => dmaBufExport('foreign', 0x1000, ops, undefined)) as DmaBuf;
    const importer = new Importer();
    importer.attachment = rig.call(dynamicAttach(dmabuf, NIC, importer.ops, undefined)) as Attachment;
    expect(iommufdMap(rig, importer)).toBe('EOPNOTSUPP');
    expect(vfioPciDmaBufOf(dmabuf)).toBeUndefined();
  });

  test('without resv is a splat', () => {
    const rig = new Rig();
    const { attachment } = rig.attach(rig.exported(rig.opened()));
    expect(() => rig.within(() => vfioPciDmaBufIommufdMap(attachment))).toThrow('must be held here');
  });
});

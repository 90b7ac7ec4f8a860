import { describe, expect, test } from 'vitest';
import {
  type Attachment,
  attach,
  detach,
  dynamicAttach,
  type ImporterOps,
  invalidateMappings,
  isRevocable,
  mapAttachment,
  pin,
  unmapAttachment,
  unpin,
} from '../../impl/dmabuf/attachment.ts';
import { Fence, USAGE } from '../../impl/dmabuf/resv.ts';
import type { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { bytes } from '../../impl/kernel/units.ts';
import { bare, DEVICE, setup } from './dmabuf-exporter.ts';
import { Importer } from './vfio-rig.ts';

describe('attach', () => {
  test('puts the newest attachment first', () => {
    const { dmabuf, importer } = setup();
    const [first, second] = [importer(), importer()];
    expect(dmabuf.attachments).toEqual([second, first]);
  });

  test('takes peer2peer and revocability from the importer; a static importer has neither', () => {
    const { rig, dmabuf, importer } = setup();
    const fixed = rig.call(attach(dmabuf, DEVICE)) as Attachment;
    expect([importer().peer2peer, importer({ allowPeer2peer: false }).peer2peer, fixed.peer2peer]).toEqual([
      true,
      false,
      false,
    ]);
    expect([importer(), importer({ allowPeer2peer: true }), fixed].map(isRevocable)).toEqual([true, false, false]);
  });

  test('answers what the exporter answers, and leaves nothing', () => {
    const { dmabuf, exporter, importer } = setup();
    exporter.attachAnswer = 'ENODEV';
    expect(importer()).toBe('ENODEV');
    expect(dmabuf.attachments).toEqual([]);
  });

  test('needs no leave of an exporter without the op', () => {
    const { dmabuf, importer } = setup(bare);
    const attachment = importer();
    expect(dmabuf.attachments).toEqual([attachment]);
  });

  test('answers ENOMEM, and the exporter is not asked', () => {
    const { rig, exporter, importer } = setup();
    rig.kernel.faults.arm(1, 'dma_buf_dynamic_attach');
    expect(importer()).toBe('ENOMEM');
    expect(exporter.log).toEqual([]);
  });

  test('asks the exporter without resv, and joins the list only under it', () => {
    const { rig, dmabuf, exporter } = setup();
    const importer = rig.actor('importer', dynamicAttach(dmabuf, DEVICE, new Importer().ops, undefined));
    rig.holding(dmabuf.resv, () => {
      expect(importer.run()).toBe(false);
      expect(exporter.log).toEqual(['attach']);
      expect(dmabuf.attachments).toEqual([]);
    });
    expect(importer.run()).toBe(true);
    expect(dmabuf.attachments).toEqual([importer.answer]);
  });

  test('with resv held is a splat', () => {
    const { rig, dmabuf } = setup();
    expect(() => rig.holding(dmabuf.resv, () => attach(dmabuf, DEVICE))).toThrow('deadlock');
  });
});

describe('detach', () => {
  test('leaves the list, and tells the exporter without resv', () => {
    const { rig, dmabuf, exporter, importer } = setup();
    const [first, second] = [importer(), importer()];
    rig.call(detach(first));
    expect(dmabuf.attachments).toEqual([second]);
    expect(exporter.log.at(-1)).toBe('detach');
  });

  test('is not told to an exporter without the op', () => {
    const { rig, dmabuf, importer } = setup(bare);
    rig.call(detach(importer()));
    expect(dmabuf.attachments).toEqual([]);
  });

  test('twice is a splat', () => {
    const { rig, importer } = setup();
    const attachment = importer();
    rig.call(detach(attachment));
    expect(() => rig.call(detach(attachment))).toThrow('nic detaches twice from buffer');
  });
});

describe('pin', () => {
  test('asks the exporter, and gives its answer', () => {
    const { rig, dmabuf, exporter, importer } = setup();
    const attachment = importer();
    expect(rig.holding(dmabuf.resv, () => pin(attachment))).toBeUndefined();
    rig.holding(dmabuf.resv, () => unpin(attachment));
    exporter.pinAnswer = 'EBUSY';
    expect(rig.holding(dmabuf.resv, () => pin(attachment))).toBe('EBUSY');
    expect(exporter.log).toEqual(['attach', 'pin', 'unpin', 'pin']);
  });

  test('succeeds where the exporter has no such op, and so does unpin', () => {
    const { rig, dmabuf, importer } = setup(bare);
    const attachment = importer();
    expect(rig.holding(dmabuf.resv, () => pin(attachment))).toBeUndefined();
    expect(rig.holding(dmabuf.resv, () => unpin(attachment))).toBeUndefined();
  });

  test.each([
    ['pin', pin],
    ['unpin', unpin],
  ])('%s without resv, or by a static importer, is a splat', (_, operation) => {
    const { rig, dmabuf, importer } = setup();
    const attachment = importer();
    expect(() => rig.within(() => operation(attachment))).toThrow('must be held here');
    const fixed = rig.call(attach(dmabuf, DEVICE)) as Attachment;
    expect(() => rig.holding(dmabuf.resv, () => operation(fixed))).toThrow('static importer nic');
  });
});

describe('map', () => {
  test('of a dynamic importer asks only for the map', () => {
    const { rig, dmabuf, exporter, importer } = setup();
    const attachment = importer();
    const table = rig.holding(dmabuf.resv, () => mapAttachment(attachment)) as SgTable;
    expect(table.entries).toEqual([{ dmaAddress: bytes(0x1000), dmaLength: 0x1000, page: undefined, length: 0 }]);
    rig.holding(dmabuf.resv, () => unmapAttachment(attachment, table));
    expect(exporter.log).toEqual(['attach', 'map', 'unmap']);
  });

  test('of a static importer pins first, and unpins at the unmap', () => {
    const { rig, dmabuf, exporter } = setup();
    const fixed = rig.call(attach(dmabuf, DEVICE)) as Attachment;
    const table = rig.holding(dmabuf.resv, () => mapAttachment(fixed)) as SgTable;
    rig.holding(dmabuf.resv, () => unmapAttachment(fixed, table));
    expect(exporter.log).toEqual(['attach', 'pin', 'map', 'unmap', 'unpin']);
  });

  test('of a static importer unpins again when the map is refused, and does not map when the pin is', () => {
    const { rig, dmabuf, exporter } = setup();
    const fixed = rig.call(attach(dmabuf, DEVICE)) as Attachment;
    exporter.mapAnswer = 'EINVAL';
    expect(rig.holding(dmabuf.resv, () => mapAttachment(fixed))).toBe('EINVAL');
    exporter.pinAnswer = 'EBUSY';
    expect(rig.holding(dmabuf.resv, () => mapAttachment(fixed))).toBe('EBUSY');
    expect(exporter.log).toEqual(['attach', 'pin', 'map', 'unpin', 'pin']);
  });

  test('of a static importer needs no pin where there is none', () => {
    const { rig, dmabuf } = setup(bare);
    const fixed = rig.call(attach(dmabuf, DEVICE)) as Attachment;
    const table = rig.holding(dmabuf.resv, () => mapAttachment(fixed)) as SgTable;
    rig.holding(dmabuf.resv, () => unmapAttachment(fixed, table));
    expect(table.live).toBe(false);
    rig.kernel.faults.arm(1, 'dma_buf_phys_vec_to_sgt');
    expect(rig.holding(dmabuf.resv, () => mapAttachment(fixed))).toBe('ENOMEM');
  });

  test.each([
    ['KERNEL', USAGE.KERNEL, true],
    ['WRITE', USAGE.WRITE, false],
  ] as const)('of a static importer, with a fence of usage %s (%d) pending, waits for it: %s', (_, usage, waits) => {
    const { rig, dmabuf } = setup();
    const fixed = rig.call(attach(dmabuf, DEVICE)) as Attachment;
    const fence = new Fence('move', 1, 1);
    rig.holding(dmabuf.resv, () => {
      dmabuf.resv.reserveFences(1);
      dmabuf.resv.addFence(fence, usage);
    });
    function* map(): Thread<SgTable | Errno> {
      yield dmabuf.resv;
      try {
        return yield* mapAttachment(fixed);
      } finally {
        dmabuf.resv.release();
      }
    }
    const importer = rig.actor('importer', map());
    expect(importer.run()).toBe(!waits);
    fence.signal();
    expect(importer.run()).toBe(true);
    expect(isErrno(importer.answer)).toBe(false);
  });

  test('and unmap without resv are splats, and so is a second unmap', () => {
    const { rig, dmabuf, importer } = setup();
    const attachment = importer();
    expect(() => rig.call(mapAttachment(attachment))).toThrow('must be held here');
    const table = rig.holding(dmabuf.resv, () => mapAttachment(attachment)) as SgTable;
    expect(() => rig.within(() => unmapAttachment(attachment, table))).toThrow('must be held here');
    rig.holding(dmabuf.resv, () => unmapAttachment(attachment, table));
    expect(() => rig.holding(dmabuf.resv, () => unmapAttachment(attachment, table))).toThrow('double unmap');
  });
});

describe('invalidate', () => {
  test('calls every importer that can be told, the newest first, with resv held', () => {
    const { rig, dmabuf, importer } = setup();
    const calls: string[] = [];
    const told = (name: string): ImporterOps => ({
      allowPeer2peer: true,
      *invalidateMappings() {
        calls.push(`${name} ${dmabuf.resv.locked}`);
      },
    });
    importer(told('first'));
    importer({ allowPeer2peer: true });
    rig.call(attach(dmabuf, DEVICE));
    importer(told('last'));
    rig.holding(dmabuf.resv, () => invalidateMappings(dmabuf));
    expect(calls).toEqual(['last true', 'first true']);
  });

  test('without resv is a splat', () => {
    const { rig, dmabuf } = setup();
    expect(() => rig.call(invalidateMappings(dmabuf))).toThrow('must be held here');
  });
});

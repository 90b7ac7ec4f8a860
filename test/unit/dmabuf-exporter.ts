/** An exporter that writes down what the dma-buf core asks of it, and one with nothing but what it must have. */
import { type Attachment, dynamicAttach, type ImporterOps } from '../../impl/dmabuf/attachment.ts';
import { type DmaBuf, type DmaBufOps, dmaBufExport } from '../../impl/dmabuf/dma-buf.ts';
import { freeSgt, physVecToSgt, type SgTable } from '../../impl/dmabuf/sg-table.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { type P2pdmaProvider, pcimP2pdmaInit, pcimP2pdmaProvider } from '../../impl/pci/p2pdma.ts';
import { HostBridge, PciFunction } from '../../impl/pci/topology.ts';
import { Importer, Rig } from './vfio-rig.ts';

const PORT = new PciFunction({
  name: 'port',
  parent: new HostBridge({ vendor: 'other', family: 6 }),
  type: 'root port',
});
export const DEVICE = new PciFunction({ name: 'nic', parent: PORT });
const OWNER = new PciFunction({ name: 'owner', parent: PORT, bars: new Map([[0, { size: 0x1000, phys: 0x1000 }]]) });

/** An exporter that writes down what the core asks of it. */
export class Exporter implements DmaBufOps {
  readonly log: string[] = [];
  attachAnswer: Errno | undefined;
  pinAnswer: Errno | undefined;
  mapAnswer: Errno | undefined;

  attach(): Errno | undefined {
    this.log.push('attach');
    return this.attachAnswer;
  }

  detach(dmabuf: DmaBuf): void {
    this.log.push(dmabuf.resv.locked ? 'detach with resv' : 'detach');
  }

  pin(): Errno | undefined {
    this.log.push('pin');
    return this.pinAnswer;
  }

  unpin(): void {
    this.log.push('unpin');
  }

  mapDmaBuf(attachment: Attachment): SgTable | Errno {
    this.log.push('map');
    return this.mapAnswer ?? mapPage(attachment);
  }

  unmapDmaBuf(_: Attachment, table: SgTable): void {
    this.log.push('unmap');
    freeSgt(table);
  }

  *release(dmabuf: DmaBuf): Thread {
    yield dmabuf.resv; // The lock outlives the exporter's release.
    dmabuf.resv.release();
    this.log.push('release');
  }
}

/** A page of the owner's memory, which is on the same bus. */
function mapPage(attachment: Attachment): SgTable | Errno {
  pcimP2pdmaInit(OWNER);
  const provider = pcimP2pdmaProvider(OWNER, 0) as P2pdmaProvider;
  return physVecToSgt(attachment, provider, [{ paddr: 0x1000, len: 0x1000 }], 0x1000, 'bidirectional');
}

/** An exporter with nothing but what it must have. */
export const bare: DmaBufOps = {
  mapDmaBuf: mapPage,
  unmapDmaBuf: (_, table) => freeSgt(table),
  *release() {},
};

interface Setup {
  readonly rig: Rig;
  readonly dmabuf: DmaBuf;
  readonly exporter: Exporter;
  /** Attach; an importer that can be told, if none is given. */
  readonly importer: (importerOps?: ImporterOps) => Attachment;
}

/** One exported buffer. */
export function setup(ops: DmaBufOps = new Exporter()): Setup {
  const rig = new Rig();
  const dmabuf = rig.within(() => dmaBufExport('buffer', 0x1000, ops, 'priv')) as DmaBuf;
  const importer = (importerOps: ImporterOps | undefined = new Importer().ops): Attachment =>
    rig.call(dynamicAttach(dmabuf, DEVICE, importerOps, undefined)) as Attachment;
  return { rig, dmabuf, exporter: ops as Exporter, importer };
}

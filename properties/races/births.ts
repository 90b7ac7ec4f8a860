/** Whether what was mapped of a buffer has been revoked since, whatever the importer has made of that. */
import type { DmaBuf } from '../../impl/dmabuf/dma-buf.ts';
import type { PhysVec } from '../../impl/dmabuf/sg-table.ts';
import type { DmabufSource } from '../../impl/iommufd/pages.ts';
import { testDmaBufOf } from '../../impl/iommufd/selftest-dmabuf.ts';
import { vfioPciDmaBufOf } from '../../impl/vfio/pci-dmabuf.ts';

/** How often each buffer had been revoked when pages were made of it; of those alone that can have translations. */
export class Births {
  readonly #revocations = new WeakMap<DmabufSource, number>();

  /** Before anybody is under way: pages that have no memory have lost it. */
  begin(source: DmabufSource): void {
    if (source.len === 0) this.#revocations.set(source, BEFORE_ALL);
  }

  /** After every step: pages are born as soon as the exporter has said where the memory lies. */
  note(source: DmabufSource): void {
    const exporter = exporterOf(source.dmabuf);
    if (exporter !== undefined && source.len > 0 && !this.#revocations.has(source))
      this.#revocations.set(source, exporter.revocations);
  }

  isShot(source: DmabufSource): boolean {
    const exporter = exporterOf(source.dmabuf);
    const born = this.#revocations.get(source);
    return exporter !== undefined && born !== undefined && (exporter.revoked || exporter.revocations > born);
  }
}

const BEFORE_ALL = -1;

/** What an exporter keeps of its buffer. */
interface Exporter {
  readonly physVec: readonly PhysVec[];
  readonly revoked: boolean;
  readonly revocations: number;
}

/** Undefined for the buffer of a driver that nobody has told of. */
export const exporterOf = (dmabuf: DmaBuf): Exporter | undefined => vfioPciDmaBufOf(dmabuf) ?? testDmaBufOf(dmabuf);

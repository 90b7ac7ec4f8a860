/** The BAR by dma-buf: an export of what the process has mapped, and the import of that into an IOAS. */
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { Command } from '../../trace/command.ts';
import { barStart, Lane, type Line, OWNER, PEER, PLACE_LENGTH, REGION } from './lane.ts';

const SETUP: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
  { do: 'vfio_open', dev: OWNER },
  { do: 'vfio_bind', dev: OWNER, ctx: 'ctx' },
  { do: 'vfio_open', dev: PEER },
  { do: 'vfio_bind', dev: PEER, ctx: 'ctx' },
  { do: 'vfio_attach', dev: PEER, pt: 'a' },
];

export class DmabufLane extends Lane {
  readonly name = 'dma-buf';
  #exported = 0;

  constructor() {
    super();
    for (const command of SETUP) this.run(command);
  }

  protected mapDma({ offset, length }: { offset: bigint; length: bigint }, iova: bigint): Line[] {
    const fd = `b${this.#exported++}`;
    const exported = this.run({ do: 'vfio_export', dev: OWNER, region: REGION, ranges: [[offset, length]], as: fd });
    if (exported.answer !== 'ok') return [exported];
    return [exported, this.run({ do: 'ioas_map_file', ioas: 'a', fd, start: 0n, length, prot: 'rw', iova })];
  }

  protected unmapDma(iova: bigint): Line {
    return this.run({ do: 'ioas_unmap', ioas: 'a', iova, length: PLACE_LENGTH });
  }

  protected openDev(): Line[] {
    const opened = this.run({ do: 'vfio_open', dev: OWNER });
    return opened.answer === 'ok' ? [opened, this.run({ do: 'vfio_bind', dev: OWNER, ctx: 'ctx' })] : [];
  }

  /** A buffer of the device that is not revoked. Its importer keeps it, mapped by the process or not. */
  protected lost(owner: VfioPciDevice, offset: bigint): string | undefined {
    const phys = barStart(owner) + Number(offset);
    const holding = owner.dmabufs.filter(({ physVec }) =>
      physVec.some(({ paddr, len }) => paddr <= phys && phys < paddr + len),
    );
    if (holding.some(({ revoked }) => !revoked)) return undefined;
    return holding.length > 0 ? 'its buffer is revoked' : 'no buffer is left';
  }
}

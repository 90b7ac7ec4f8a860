/**
 * Bugs that last for a step or two, in threads that run together: whoever breaks something puts it right before it
 * returns, so that nobody who looks at the end alone can tell.
 */
import type { Attachment } from '../../impl/dmabuf/attachment.ts';
import { Domain } from '../../impl/iommu/domain.ts';
import { IOMMU_CACHE, IOMMU_MMIO } from '../../impl/iommu/prot.ts';
import * as dmabuf from '../../impl/iommufd/dmabuf.ts';
import * as fill from '../../impl/iommufd/fill.ts';
import { isFreed } from '../../impl/kernel/poison.ts';
import { current, preempt, type Task, type Thread } from '../../impl/kernel/thread.ts';
import { add, bytes, fromBigint } from '../../impl/kernel/units.ts';
import { neverMappedWhileRevoked, noDoubleUnmap, oneMmioRange, subPageOffsets } from '../../model/invariants.ts';
import { SCENES } from '../../properties/raced-faults/scenes.ts';
import type { Command } from '../../trace/command.ts';
import { after, forAStep, isRaced, isThere, left, type Moment, mapped, otherwise, within } from './moment.ts';
import { patch } from './patch.ts';

/** A buffer of dev0, one of the test exporter, and other memory, mapped for dev1. */
export const PREFIX = SCENES.find(({ name }) => name === 'areas in one domain')?.before ?? [];
const ioas = 'ioas';
const MAP: Command = { do: 'ioas_map_file', ioas, fd: 'b', start: 0n, length: 0x4000n, prot: 'rw', iova: 0x140_0000n };
const UNMAP = { do: 'ioas_unmap', ioas, iova: 0x100_0000n, length: 0x4000n } as const;
const memory = (enable: boolean): Command => ({ do: 'vfio_memory', dev: 'dev0', enable });
const [ON, OFF] = [memory(true), memory(false)];
const REVOKE: Command = { do: 'mock_revoke', fd: 't', revoked: true };

/** What iommufd has not been told of, by who revokes. */
const late = new WeakMap<Task, Attachment[]>();

export const MOMENTS: readonly Moment[] = [
  {
    bug: 'a revoke leaves a page',
    breaks: neverMappedWhileRevoked,
    calls: [MAP, OFF],
    patches: [after(OFF, left)],
  },
  {
    bug: 'the revoke of the test exporter leaves a page',
    breaks: neverMappedWhileRevoked,
    calls: [MAP, REVOKE],
    patches: [after(REVOKE, left)],
  },
  {
    bug: 'memory that answers again is mapped where it was',
    breaks: neverMappedWhileRevoked,
    calls: [ON, OFF],
    patches: [after(ON, left)],
  },
  {
    bug: 'a revoke unmaps when it has let go of dma_resv',
    breaks: neverMappedWhileRevoked,
    calls: [MAP, OFF],
    patches: [
      patch(
        dmabuf.importerOps,
        'invalidateMappings',
        (right) =>
          function* (attachment) {
            if (isRaced()) late.set(current(), [...(late.get(current()) ?? []), attachment]);
            else yield* right?.(attachment) as Thread;
          },
      ),
      after(OFF, function* () {
        for (const attachment of late.get(current()) ?? []) {
          if (isFreed(attachment)) continue;
          const { resv } = attachment.dmabuf;
          yield resv;
          yield* dmabuf.revokeNotify(attachment.importerPriv as Parameters<typeof dmabuf.revokeNotify>[0]);
          resv.release();
        }
      }),
    ],
  },
  {
    bug: 'the tracker learns of an area when pages->mutex is free again',
    breaks: neverMappedWhileRevoked,
    calls: [MAP, OFF],
    patches: [
      patch(dmabuf, 'trackAllDomains', (right) => (pages, area, domains) => {
        return isRaced() && pages.source.kind === 'dmabuf' ? undefined : right(pages, area, domains);
      }),
      patch(
        fill,
        'fillDomains',
        (right) =>
          function* (area, pages) {
            const failed = yield* right(area, pages);
            if (!isRaced() || pages.source.kind !== 'dmabuf' || failed !== undefined) return failed;
            yield preempt;
            yield pages.mutex;
            for (const domain of area.iopt.domains) dmabuf.trackDomain(pages, area, domain);
            for (const domain of area.iopt.domains) {
              for (const it of within(area, domain))
                if (dmabuf.isRevoked(pages) && isThere(it)) domain.unmap(it.iova, it.length);
            }
            pages.mutex.release();
            return undefined;
          },
      ),
    ],
  },
  {
    bug: 'an unmap is asked for once more, and only a warning tells',
    breaks: noDoubleUnmap,
    calls: [UNMAP, OFF],
    patches: [
      patch(
        Domain.prototype,
        'unmap',
        (right) =>
          function (this: Domain, iova, length) {
            right.call(this, iova, length);
            if (isRaced()) this.iommu.calls.push({ op: 'unmap', domain: this, iova, length: 0, asked: length });
          },
      ),
    ],
  },
  {
    bug: 'an area of a buffer is unmapped by its first page and its rest',
    breaks: oneMmioRange,
    calls: [UNMAP, OFF],
    patches: [
      patch(
        Domain.prototype,
        'unmap',
        (right) =>
          function (this: Domain, iova, length) {
            const first = isRaced() && length > this.granule ? this.granule : length;
            right.call(this, iova, first);
            if (first < length) right.call(this, add(iova, bytes(first)), length - first);
          },
      ),
    ],
  },
  {
    bug: 'a mapping loses the MMIO bit',
    breaks: oneMmioRange,
    calls: [MAP, OFF],
    patches: [
      after(
        MAP,
        otherwise(({ prot }) => ({ prot: (prot & ~IOMMU_MMIO) | IOMMU_CACHE })),
      ),
    ],
  },
  {
    bug: 'a mapping goes on behind the end of its buffer',
    breaks: oneMmioRange,
    calls: [MAP, OFF],
    patches: [
      after(
        MAP,
        otherwise(({ phys }) => ({ phys: phys + 0x100_0000 })),
      ),
    ],
  },
  {
    bug: 'a mapping begins one page too late in its buffer',
    breaks: subPageOffsets,
    calls: [MAP, OFF],
    patches: [
      after(
        MAP,
        otherwise(({ phys, length, domain: { granule }, end }) =>
          phys + length < end ? { phys: phys + granule } : undefined,
        ),
      ),
    ],
  },
  {
    bug: 'an unmap leaves a page where no area is any more',
    breaks: subPageOffsets,
    calls: [UNMAP, OFF],
    patches: [
      after(UNMAP, function* (machine) {
        for (const other of mapped(machine)) {
          const it = { ...other, iova: fromBigint(UNMAP.iova), length: other.domain.granule };
          if (!isThere(other) || isThere(it)) continue;
          yield* forAStep(it);
          return;
        }
      }),
    ],
  },
];

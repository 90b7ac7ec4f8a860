/** Bugs of iommufd's areas: which domains they are in, which of them a revoke knows, and what an UNMAP looks at. */
import { IommufdCtx } from '../../impl/iommufd/context.ts';
import * as dmabuf from '../../impl/iommufd/dmabuf.ts';
import * as fill from '../../impl/iommufd/fill.ts';
import type { DmabufSource, Pages } from '../../impl/iommufd/pages.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { preempt } from '../../impl/kernel/thread.ts';
import { toNumber } from '../../impl/kernel/units.ts';
import { end } from '../../properties/races/race.ts';
import { copy, MAPPED, OFF, unmap } from '../../properties/races/steps.ts';
import { atRest, type Finding, inOwnRace, inRace, type Mutant, outcome, shot, splat, takenBack } from './mutant.ts';
import { patch, without } from './patch.ts';

const DESIGN = 'never written; a rule of the design, broken';
/** It is replaced where S-09 needs it. */
const { trackAllDomains } = dmabuf;
const asksNobody = [patch(dmabuf, 'isRevoked', () => () => false)];

const twice = (domain: string): Finding =>
  splat('double unmap', `domain ${domain}, [0x1000000, length 0x4000): only 0x0 bytes from the start were mapped`);
const trackedOtherwise = atRest('an area on dev0.dmabuf0 is tracked for other domains than its IOAS has');

/** The pages live on in a copy. */
const COPIED = inOwnRace('UNMAP ∥ revoke', {
  from: 'mapped in one domain, with a copy',
  before: [...MAPPED, copy()],
  actors: [unmap(), OFF],
  ends: [end('0x4000 bytes, ok', 'TEMP')],
});

export const AREA_MUTANTS: readonly Mutant[] = [
  {
    id: 'H-09',
    bug: 'UNMAP looks again at what it has freed, and meets who has mapped there since',
    cured: '8602018b1f17',
    patches: [without('7.3', 'unmapMovesUp')],
    ...inRace('iommufd-R11', 'two areas, and the range ends with the second'),
    found: [outcome('0x3000 bytes, ok at 0x1000; buffers none')],
  },
  {
    id: 'H-12',
    bug: 'DESTROY holds the object while it asks who else does',
    cured: '99f98a7c0d69, CVE-2023-53795',
    patches: [
      patch(
        IommufdCtx.prototype,
        'destroy',
        () =>
          function* (this: IommufdCtx, id) {
            const object = this.getAny(id);
            if (isErrno(object)) return object;
            yield preempt;
            this.put(object);
            if (object.users > 1) return 'EBUSY';
            this.remove(object);
            yield* object.destroy();
            return undefined;
          },
      ),
    ],
    ...inRace('iommufd-R16', 'a second DESTROY'),
    found: [outcome('ok, EBUSY; buffers OK'), outcome('EBUSY, ok; buffers OK')],
  },
  {
    id: 'S-01',
    bug: 'a revoke forgets all domains but the first',
    cured: DESIGN,
    patches: [
      patch(dmabuf, 'trackAllDomains', (right) => (pages, area, domains) => right(pages, area, domains.slice(0, 1))),
    ],
    ...inRace('iommufd-R1', 'two domains'),
    found: [shot('vfio_memory', 'hwpt'), trackedOtherwise],
  },
  {
    id: 'S-02',
    bug: 'a revoke forgets areas that COPY made',
    cured: DESIGN,
    patches: [
      patch(dmabuf, 'trackAllDomains', (right) => (pages, area, domains) => {
        const isCopy = pages.kref.count > 1;
        return isCopy ? undefined : right(pages, area, domains);
      }),
    ],
    ...inRace('iommufd-R5', 'in one IOAS with a domain'),
    found: [shot('vfio_memory', 'ioas', '0x3000000'), trackedOtherwise],
  },
  {
    id: 'S-03',
    bug: 'a revoke marks the pages first, and then finds nothing to unmap in them',
    cured: DESIGN,
    patches: [
      patch(
        dmabuf.importerOps,
        'invalidateMappings',
        () =>
          function* ({ importerPriv }) {
            const { source, mutex } = importerPriv as Pages;
            yield mutex;
            (source as DmabufSource).len = 0;
            mutex.release();
          },
      ),
    ],
    ...inRace('iommufd-R2', 'one domain'),
    found: [shot('vfio_memory', 'ioas')],
  },
  {
    id: 'S-04',
    bug: 'UNMAP does not ask whether the pages are revoked',
    cured: DESIGN,
    patches: asksNobody,
    ...inRace('iommufd-R2', 'one domain'),
    found: [twice('ioas')],
  },
  {
    id: 'S-05',
    bug: 'a domain that goes does not ask whether the pages are revoked',
    cured: DESIGN,
    patches: asksNobody,
    ...inRace('iommufd-R4', 'detach of the only device'),
    found: [twice('ioas')],
  },
  {
    id: 'S-06',
    bug: 'a domain that comes does not ask whether the pages are revoked',
    cured: DESIGN,
    patches: asksNobody,
    ...inRace('iommufd-R3', 'HWPT_ALLOC; one domain, an area of memory beside'),
    found: [takenBack('hwpt_alloc', 'late'), atRest(`when all is closed: ${twice('ioas').what}`)],
  },
  {
    id: 'S-07',
    bug: 'COPY does not ask whether the pages are revoked',
    cured: DESIGN,
    patches: asksNobody,
    ...inRace('iommufd-R5', 'in one IOAS with a domain'),
    found: [takenBack('ioas_copy', 'ioas', '0x3000000'), atRest(`when all is closed: ${twice('ioas').what}`)],
  },
  {
    id: 'S-09',
    bug: 'the tracker learns of an area when it is mapped, with the mutex dropped in between',
    cured: DESIGN,
    patches: [
      patch(
        fill,
        'fillDomains',
        (right) =>
          function* (area, pages) {
            const failed = yield* right(area, pages);
            if (failed !== undefined) return failed;
            yield pages.mutex;
            try {
              return trackAllDomains(pages, area, area.iopt.domains);
            } finally {
              pages.mutex.release();
            }
          },
      ),
      patch(dmabuf, 'trackAllDomains', () => () => undefined),
    ],
    ...inRace('iommufd-R1', 'one domain'),
    found: [takenBack('ioas_map_file', 'ioas')],
  },
  {
    id: 'S-10',
    bug: 'UNMAP leaves its area in the tracker',
    cured: DESIGN,
    patches: [patch(dmabuf, 'untrackAllDomains', () => () => {})],
    ...COPIED,
    found: [splat('use after free', 'an observer reads iopt_area.next, which ioas_unmap has freed')],
  },
  {
    id: 'S-11',
    bug: 'a domain that goes stays in the tracker',
    cured: DESIGN,
    patches: [patch(dmabuf, 'untrackDomain', () => () => {})],
    ...inRace('iommufd-R4', 'DESTROY of the second domain'),
    found: [
      splat('use after free', 'domain hwpt is emptied by vfio_memory, and was freed by destroy'),
      trackedOtherwise,
    ],
  },
  {
    id: 'M44',
    bug: 'the callback of a revoke does not ask whether there was one before',
    cured: 'in review of "iommufd: Allow a DMABUF to be revoked"',
    patches: [
      patch(
        dmabuf.importerOps,
        'invalidateMappings',
        () =>
          function* ({ importerPriv }) {
            const pages = importerPriv as Pages;
            const source = pages.source as DmabufSource;
            yield pages.mutex;
            for (const area of source.tracker) {
              for (const domain of area.tracked) domain.unmap(area.iova, toNumber(area.length));
            }
            source.len = 0;
            pages.mutex.release();
          },
      ),
    ],
    ...inRace('iommufd-R6', 'memory off and a reset'),
    found: [twice('ioas')],
  },
];

/** Bugs of iommufd's locks: one not let go of, one that is gone too early, one that is not taken. */
import * as fill from '../../impl/iommufd/fill.ts';
import { inRace, type Mutant, splat } from './mutant.ts';
import { patch, without } from './patch.ts';

export const LOCK_MUTANTS: readonly Mutant[] = [
  {
    id: 'H-02',
    bug: 'the mutex of the pages is destroyed before the detach, so that a revoke takes it once more',
    cured: 'f2d70dbd3dce, CVE-2026-74328',
    patches: [without('7.3', 'mutexOutlivesDetach')],
    ...inRace('iommufd-R2', 'one domain'),
    found: [splat('use after free', 'vfio_memory takes pages->mutex after mutex_destroy by ioas_unmap')],
  },
  {
    id: 'H-03',
    bug: 'the last UNMAP unpins the buffer without dma_resv',
    cured: 'e745cd2c749e, CVE-2026-80633',
    patches: [without('7.3', 'unpinHoldsResv')],
    ...inRace('iommufd-R2', 'one domain'),
    found: [splat('lockdep', 'dev0.dmabuf0.resv must be held here')],
  },
  {
    id: 'H-06',
    bug: 'iopt_fill_domain() unwinds with the mutex of the pages held that could not be tracked',
    cured: 'in review: "iommufd: Allow a DMABUF to be revoked", v1 to v2',
    patches: [
      patch(
        fill,
        'fillDomain',
        () =>
          function* (area, pages, domain) {
            yield pages.mutex;
            const failed = yield* fill.fillLocked(area, pages, domain);
            if (failed !== undefined) return failed;
            pages.mutex.release();
            return undefined;
          },
      ),
    ],
    ...inRace('iommufd-R17', 'HWPT_ALLOC has no memory for its second area'),
    found: [
      splat(
        'lockdep',
        'pages->mutex taken while ioas.mutex, domains_rwsem(W), iova_rwsem(W), pages->mutex held: same class',
      ),
    ],
  },
];

/**
 * IOMMU_IOAS_CHANGE_PROCESS: all pinned pages of the context count for the process that calls.
 *
 * Source: drivers/iommu/iommufd/ioas.c, iommufd_ioas_change_process()
 */
import type { Errno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import type { IommufdCtx } from './context.ts';
import { Ioas } from './ioas.ts';
import type { Pages } from './pages.ts';

/** Count the pages, each given once, for the caller and no longer for who had them; all of them, or none. ENOMEM */
export type HandOver = (pages: ReadonlySet<Pages>) => Errno | undefined;

/**
 * iommufd_ioas_change_process(). Memory of a process cannot be handed over, nor a buffer; files can.
 * Locks: takes ioas_creation_lock W; inside, every iova_rwsem W, in the order of the numbers
 * Fails: EOPNOTSUPP, EBUSY for an area in set-up, EINVAL for what is no file, ENOMEM; nothing has changed then
 */
export function* ioasChangeProcess(ctx: IommufdCtx, reserved: number, handOver: HandOver): Thread<Errno | undefined> {
  if (reserved !== 0) return 'EOPNOTSUPP';
  yield ctx.ioasCreationLock.write;
  const locked: Ioas[] = [];
  try {
    yield* lockAll(ctx, locked);
    const areas = locked.flatMap(({ iopt }) => iopt.areas.all());
    if (areas.some(({ pages }) => pages === undefined)) return 'EBUSY';
    const pages = new Set(areas.map((area) => area.pages as Pages));
    for (const { source } of pages) if (source.kind !== 'file') return 'EINVAL';
    return handOver(pages);
  } finally {
    for (const ioas of locked) {
      ioas.iopt.iovaRwsem.releaseWrite();
      ctx.put(ioas);
    }
    ctx.ioasCreationLock.releaseWrite();
  }
}

/** iommufd_take_all_iova_rwsem(): `locked` says what must be released again. */
function* lockAll(ctx: IommufdCtx, locked: Ioas[]): Thread {
  for (let id = 1; id < ctx.table.length; id++) {
    const object = ctx.table[id];
    if (!(object instanceof Ioas)) continue;
    object.users++;
    yield object.iopt.iovaRwsem.write;
    locked.push(object);
  }
}

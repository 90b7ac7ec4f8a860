/**
 * The end of a pages object.
 *
 * Source: drivers/iommu/iommufd/pages.c, iopt_release_pages()
 */
import { free } from '../kernel/poison.ts';
import { warnOn } from '../kernel/splat.ts';
import { current, type Thread } from '../kernel/thread.ts';
import { releaseDmabuf } from './dmabuf.ts';
import type { Pages } from './pages.ts';

/** iopt_put_pages(): the last one releases. Locks: none that the exporter may want; may take dma_resv. */
export function* putPages(pages: Pages): Thread {
  if (!pages.kref.put()) return;
  pages.gone();
  warnOn(pages.domainsItree.size > 0, 'pages released while a domain holds them');
  warnOn(pages.accesses !== undefined && !pages.accesses.empty, 'pages released while an access holds them');
  warnOn(pages.npinned !== 0, () => `pages released with ${pages.npinned} pages pinned`);
  warnOn(pages.ncharged !== 0, () => `pages released with ${pages.ncharged} pages charged`);
  const { source } = pages;
  const { mutexOutlivesDetach } = current().kernel.features;
  if (!mutexOutlivesDetach) pages.mutex.destroy();
  if (source.kind === 'dmabuf') yield* releaseDmabuf(source);
  if (source.kind === 'file') source.file.put();
  if (mutexOutlivesDetach) pages.mutex.destroy();
  free(pages, 'iopt_pages');
}

/**
 * What the address space of a process at rest holds: references of files, places in address spaces of files, and page
 * table entries.
 */
import type { Leaf } from './kernel/cpu-page-table.ts';
import type { Mm } from './kernel/mm.ts';
import type { Vma } from './kernel/vma.ts';

/** Append a line for each breach; count the references that mappings hold, for audit number `audit`. */
export function auditMm(mm: Mm, audit: number, breaches: string[]): void {
  if (mm.mmapLock.locked) breaches.push('mmap_lock is left locked');
  for (const { file, mapping, node } of mm.vmas) {
    if (file === undefined || mapping === undefined) continue;
    file.count(audit);
    if (node === undefined) breaches.push(`${file.label} does not know of a mapping`);
    if (mapping.iMmapRwsem.locked) breaches.push(`${mapping.iMmapRwsem.name} is left locked`);
    for (const vma of mapping.vmas) {
      if (mm.find(vma.startPage) !== vma) breaches.push(`${file.label} knows of a mapping that is gone`);
    }
  }
  for (const leaf of mm.pageTable.leaves()) {
    const vma = mm.find(leaf.page);
    if (vma === undefined) breaches.push('a page is mapped where nothing is');
    else if (!shows(vma, leaf)) breaches.push('a page of a mapping shows something else');
  }
}

/** V-57: a leaf keeps within its mapping, and every page of it shows what the mapping says. */
function shows(vma: Vma, { page, pfn, order }: Leaf): boolean {
  const pages = 2 ** order;
  return (
    page + pages - 1 <= vma.lastPage &&
    vma.ops.pfnOf(vma, page) === pfn &&
    vma.ops.pfnOf(vma, page + pages - 1) === pfn + pages - 1
  );
}

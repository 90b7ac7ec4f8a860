/**
 * What the address space of a process at rest holds: references of files, places in address spaces of files, and page
 * table entries.
 */
import type { Leaf } from './kernel/cpu-page-table.ts';
import type { Mm } from './kernel/mm.ts';
import { samePgprot } from './kernel/pgprot.ts';
import type { Vma } from './kernel/vma.ts';

/** Append a line for each breach; count the references that mappings hold, for audit number `audit`. */
export function auditMm(mm: Mm, audit: number, breaches: string[]): void {
  if (mm.mmapLock.locked) breaches.push('mmap_lock is left locked');
  for (const { file, mapping } of mm.vmas) {
    if (file === undefined || mapping === undefined) continue;
    file.count(audit);
    if (mapping.iMmapRwsem.locked && mapping.audit !== audit)
      breaches.push(`${mapping.iMmapRwsem.name} is left locked`);
    mapping.audit = audit;
  }
}

/**
 * The same of what the CPU reaches by the mappings. All that this looks at is constant, or counts as a change of
 * mappings.
 */
export function auditMappings(mm: Mm, breaches: string[]): void {
  let end = 0;
  for (const vma of mm.vmas) {
    if (vma.npages <= 0 || vma.startPage < end) breaches.push('a mapping lies over another');
    end = vma.lastPage + 1;
    auditFile(vma, breaches);
  }
  for (const { first, last } of mm.pageTable.tables) {
    if (mm.overlapping(first, last).length === 0) breaches.push('a page table is kept where nothing is mapped');
  }
  for (const leaf of mm.pageTable.all) {
    const vma = mm.find(leaf.page);
    if (vma === undefined) breaches.push('a page is mapped where nothing is');
    else if (!shows(vma, leaf)) breaches.push('a page of a mapping shows something else');
    else if (!samePgprot(leaf.prot, vma.pageProt)) breaches.push('a page is treated in another way than its mapping');
  }
}

/** A mapping of a file is in the file's tree, at the pages that it shows; and all that is in the tree is mapped. */
function auditFile({ file, mapping, node, pgoff, npages }: Vma, breaches: string[]): void {
  if (file === undefined || mapping === undefined) return;
  if (node === undefined) breaches.push(`${file.label} does not know of a mapping`);
  else if (node.start.page !== pgoff || node.last.page !== pgoff + npages - 1) {
    breaches.push(`${file.label} knows a mapping by other pages`);
  }
  for (const vma of mapping.vmas) {
    if (vma.mm.find(vma.startPage) !== vma) breaches.push(`${file.label} knows of a mapping that is gone`);
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

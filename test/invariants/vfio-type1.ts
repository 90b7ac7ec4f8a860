/** Type 1 mappings, which nobody revokes: V-69. */
import * as at from './places.ts';
import { check, edit, proof, type Row, test } from './row.ts';

const PIN = 'impl/type1/pin.ts';
const FOLLOW = 'impl/type1/follow.ts';
const UNMAP = 'impl/type1/unmap.ts';
const BARS = 'test/unit/type1-bar.test.ts';
const RAM = 'test/unit/type1-ram.test.ts';

const ofBar = (title: string, ...more: readonly string[]) =>
  test(BARS, `a map of a BAR ${title}`, 'a map of a BAR', ...(more.length === 0 ? [title] : more));

export const type1: readonly Row[] = [
  {
    id: 'V-69',
    says: 'A type 1 mapping of a BAR is not taken back, and so breaks V-39; that it is found to is what is checked.',
    checks: [at.neverMapped, check('property', 'properties/contrast/contrast.ts', 'contrasts')],
    proofs: [
      proof(
        'the predicate minds only what is mapped as device memory, which type 1 never does',
        edit(
          at.INVARIANTS,
          'if (gone(pte)) found.push(breach(pte,',
          'if (pte.mmio && gone(pte)) found.push(breach(pte,',
        ),
        test(
          'test/properties/contrast.test.ts',
          'V-69: type 1 breaks `never mapped while revoked` in three ways, each shrunk to its minimum, seed 1',
          'V-69: type 1 breaks `never mapped while revoked` in three ways, each shrunk to its minimum, seed %s',
          '1',
        ),
      ),
      proof(
        'the test for pages that nobody counts is inverted, so RAM is taken without a pin',
        edit(PIN, '=> !ram.hasPage(pfn)', '=> ram.hasPage(pfn)'),
        test(
          RAM,
          'a PFN map of RAM is EFAULT, because nobody would hold the pages',
          'a PFN map',
          'of RAM is EFAULT, because nobody would hold the pages',
        ),
      ),
      proof(
        'a batch goes on past the end of the mapping, to pages that the process never had',
        edit(PIN, 'pages: Math.min(npages, followed.pages), reserved: true', 'pages: npages, reserved: true'),
        ofBar(
          'past the end of the mapping, of small pages, is EFAULT, and the peer reaches nothing',
          'past the end of the mapping, of %s, is EFAULT, and the peer reaches nothing',
          'small pages',
        ),
      ),
      proof(
        'nobody asks whether the process may write what the device is to write',
        edit(FOLLOW, "flags.has('WRITE') || (!write && ", "flags.has('WRITE') || ("),
        ofBar('for writing, of a mapping that may only be read, is EFAULT; touched before or not'),
      ),
      proof(
        'a number is used though a zap has taken its entry away',
        edit(
          FOLLOW,
          '  if (leaf === undefined) return undefined;',
          '  if (leaf === undefined) return { pfn: vma.ops.pfnOf(vma, page) ?? 0, pages: 1 };',
        ),
        ofBar('with memory off is EFAULT, even where the page was mapped before the zap'),
      ),
      proof(
        'an unmap takes for granted that the end of the mapping has told of itself',
        edit(
          UNMAP,
          '): void {\n  for (const { iova',
          '): void {\n  if (!dma.process.mm.find(dma.vaddr.page)) return;\n  for (const { iova',
        ),
        test(
          BARS,
          'a number that was read stays after munmap and close of the device, until the user unmaps it',
          'a number that was read',
          'stays after munmap and close of the device, until the user unmaps it',
        ),
      ),
    ],
  },
];

/** The IOVA space: I-40 to I-48. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const fixed = check('refusal', 'impl/iommufd/placement.ts', 'checkIova');
const PLACEMENT = 'impl/iommufd/placement.ts';
const finer = (what: string) =>
  at.subpage(
    `without a domain every byte may be mapped; a domain is EADDRINUSE, when the ${what} is finer than its pages`,
    'without a domain every byte may be mapped; a domain is EADDRINUSE, when %s is finer than its pages',
    `the ${what}`,
  );

export const iovaSpace: readonly Row[] = [
  {
    id: 'I-40',
    says: 'Areas do not meet each other, nor what is reserved.',
    checks: [at.auditSpace, fixed, check('model rule', 'model/iova.ts', 'clash')],
    proofs: [
      proof(
        'a device reserves where an area is',
        edit(
          at.IOPT,
          'if (this.areas.first(start, last) !== undefined || this.allowed.first(start, last) !== undefined)',
          'if (this.allowed.first(start, last) !== undefined)',
        ),
        at.attachTest(
          'attach refuses an IOAS with an area across a window of the device, and the ranges stay as they were',
          'an IOAS with an area across %s, and the ranges stay as they were',
          'a window of the device',
        ),
      ),
      proof(
        'MAP_FILE lays an area over another',
        edit(PLACEMENT, "  if (iopt.areas.first(iova, last) !== undefined) return 'EEXIST';\n", ''),
        at.refused('MAP_FILE (I-82)', 'occupied IOVA'),
      ),
      proof(
        'the audit minds only areas of which one begins where the other does',
        edit('impl/iommufd/audit.ts', 'atMost(area.iova, below.last)', 'atMost(area.iova, below.iova)'),
        at.auditTest('an area across another is said', '%s is said', 'an area across another'),
      ),
    ],
  },
  {
    id: 'I-41',
    says: 'No allowed range meets what is reserved.',
    checks: [at.auditSpace],
    proofs: [],
    pending: 'ALLOW_IOVAS',
  },
  {
    id: 'I-42',
    says: 'IOVA_RANGES gives what is not reserved, ascending, in ranges as long as can be; nothing else changes it.',
    checks: [check('model rule', 'model/iova.ts', 'gaps'), at.sameAnswer],
    proofs: [
      proof(
        'a range ends in the first byte that is reserved',
        edit(at.IOPT, 'ranges.push([free, previous(node.start)]);', 'ranges.push([free, node.start]);'),
        at.attachTest(
          'attach reserves the windows of the device and what lies outside the aperture; detach gives both back',
        ),
      ),
      proof(
        'areas are left out as if they were reserved',
        edit(
          at.IOPT,
          'for (const { node } of this.reserved.all()) {\n      if (free',
          'for (const { node } of [...this.reserved.all(), ...this.areas.all()]) {\n      if (free',
        ),
        at.attachTest(
          'attach refuses an IOAS with an area across a window of the device, and the ranges stay as they were',
          'an IOAS with an area across %s, and the ranges stay as they were',
          'a window of the device',
        ),
      ),
    ],
  },
  {
    id: 'I-43',
    says: 'IOVA and page offset of an area, and the length of what made it, are multiples of the alignment.',
    checks: [at.auditSpace, check('refusal', at.IOPT, 'allAligned')],
    proofs: [
      proof(
        'a domain that joins overlooks the page offset of the areas',
        edit(
          at.IOPT,
          'isAligned(area.length, alignment) && area.pageOffset % alignment === 0,',
          'isAligned(area.length, alignment),',
        ),
        finer('offset'),
      ),
      proof(
        'the audit overlooks the page offset',
        edit(
          'impl/iommufd/audit.ts',
          '!isAligned(area.iova, granule) || area.pageOffset % alignment !== 0',
          '!isAligned(area.iova, granule)',
        ),
        at.auditTest('an offset off it is said', '%s is said', 'an offset off it'),
      ),
    ],
  },
  {
    id: 'I-44',
    says: 'The alignment is a power of two up to a page: the largest that a domain or the option asks for.',
    checks: [at.auditSpace, check('model rule', 'model/iova.ts', 'alignment')],
    proofs: [
      proof(
        'the alignment stays when the domain that asked for it goes',
        edit(at.TABLE_DOMAIN, '      iopt.alignment = iopt.alignmentWith(iopt.domains);\n', ''),
        at.subpage('the alignment follows the domains: that of the finest page of each, and 1 without any'),
      ),
      proof(
        'the audit minds only an alignment above a page',
        edit(
          'impl/iommufd/audit.ts',
          'alignment > PAGE_SIZE || alignment !== iopt.alignmentWith(iopt.domains)',
          'alignment > PAGE_SIZE',
        ),
        at.auditTest('an alignment below it is said', '%s is said', 'an alignment below it'),
      ),
    ],
    pending: 'what accesses ask for',
  },
  {
    id: 'I-45',
    says: 'What would raise the alignment above that of an area is EADDRINUSE, and leaves it as it was.',
    checks: [check('refusal', at.IOPT, 'allAligned'), at.sameAnswer],
    proofs: [
      proof(
        'the alignment is raised before the areas are asked',
        edit(
          at.TABLE_DOMAIN,
          "  if (alignment !== iopt.alignment && !iopt.allAligned(alignment)) return 'EADDRINUSE';",
          "  iopt.alignment = alignment;\n  if (!iopt.allAligned(alignment)) return 'EADDRINUSE';",
        ),
        at.scenario('G-07: an area that is too fine keeps a domain out, and the alignment what it was'),
      ),
      proof(
        'a domain that joins overlooks the length of the areas',
        edit(at.IOPT, 'isAligned(area.length, alignment) && area', 'area'),
        finer('length'),
      ),
    ],
  },
  {
    id: 'I-46',
    says: 'An automatic IOVA is free, allowed and aligned; ENOSPC means that no hole would do.',
    checks: [
      check('model rule', 'model/iova.ts', 'misplaced'),
      check('property', 'test/unit/iommufd-placement.test.ts', 'naive'),
    ],
    proofs: [
      proof(
        'an IOVA may be the last byte of its hole',
        edit(
          PLACEMENT,
          'return less(iova, last) && atMost(tail, sub(last, iova)) ? iova : undefined;',
          'return atMost(tail, sub(last, iova)) ? iova : undefined;',
        ),
        at.placement(
          "the examples of 2.8 address 139637978824704n, length 1n, in 'a hole of one byte'",
          'the examples of 2.8',
          'address %o, length %o, in %o',
          'a hole of one byte',
        ),
      ),
      proof(
        'what is allowed is forgotten',
        edit(PLACEMENT, 'if (allowed.size === 0) yield [PAGE, limit];', 'yield [PAGE, limit];'),
        at.placement(
          'automatic placement gives nothing outside of what is allowed',
          'automatic placement gives %s',
          'nothing outside of what is allowed',
        ),
      ),
    ],
  },
  {
    id: 'I-47',
    says: 'A fixed IOVA is refused for its length, alignment, a wrap, what is reserved and an area, in this order.',
    checks: [fixed, check('model rule', 'model/iova.ts', 'clash')],
    proofs: [
      proof(
        'areas are looked at before what is reserved',
        edit(
          PLACEMENT,
          `  if (iopt.reserved.first(iova, last) !== undefined) return 'EINVAL';
  if (iopt.areas.first(iova, last) !== undefined) return 'EEXIST';`,
          `  if (iopt.areas.first(iova, last) !== undefined) return 'EEXIST';
  if (iopt.reserved.first(iova, last) !== undefined) return 'EINVAL';`,
        ),
        at.refused('MAP (I-47)', 'reserved and occupied'),
      ),
      proof(
        'the wrap is looked at before the alignment',
        edit(
          PLACEMENT,
          `  if (!isAligned(iova, iopt.alignment)) return 'EINVAL';
  const last = lastOf(iova, length);
  if (last === undefined) return 'EOVERFLOW';`,
          `  const last = lastOf(iova, length);
  if (last === undefined) return 'EOVERFLOW';
  if (!isAligned(iova, iopt.alignment)) return 'EINVAL';`,
        ),
        at.refused('MAP (I-47)', 'unaligned IOVA, which would wrap'),
      ),
    ],
  },
  {
    id: 'I-48',
    says: 'ALLOW_IOVAS replaces the whole set, or leaves it as it was.',
    checks: [],
    proofs: [],
    pending: 'ALLOW_IOVAS',
  },
];

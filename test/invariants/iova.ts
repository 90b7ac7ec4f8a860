/** The IOVA space: I-40 to I-45. */
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

const PAGE_OF_ACCESS = 'is that of a page while an access may pin, whatever else comes and goes';
const alignmentOfAccesses = at.accessObjects(
  `the alignment of an IOAS (I-44) ${PAGE_OF_ACCESS}`,
  'the alignment of an IOAS (I-44)',
  PAGE_OF_ACCESS,
);

export const iovaSpace: readonly Row[] = [
  {
    id: 'I-40',
    says: 'Areas do not meet each other, nor what is reserved.',
    checks: [at.auditPlace, fixed, check('model rule', 'model/iova.ts', 'clash')],
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
        'the audit minds only a third area in one place',
        edit('impl/iommufd/audit.ts', 'areas.countMeeting(area) > 1', 'areas.countMeeting(area) > 2'),
        at.auditTest('an area across another is said', '%s is said', 'an area across another'),
      ),
    ],
  },
  {
    id: 'I-41',
    says: 'No allowed range meets what is reserved.',
    checks: [at.auditSpace, check('refusal', at.IOPT, 'reserve('), check('refusal', at.IOPT, 'setAllowed')],
    proofs: [
      proof(
        'a device reserves what is allowed',
        edit(
          at.IOPT,
          'if (this.areas.first(start, last) !== undefined || this.allowed.first(start, last) !== undefined)',
          'if (this.areas.first(start, last) !== undefined)',
        ),
        at.allowTest(
          'the window of a device is EADDRINUSE where it is allowed, and nothing is reserved',
          '%s is EADDRINUSE where it is allowed, and nothing is reserved',
          'the window of a device',
        ),
      ),
      proof(
        'what is reserved may be allowed, if the range does not begin there',
        edit(at.IOPT, 'if (allowed.first(start, last)', 'if (allowed.first(last, last)'),
        at.allowRefused('a range with the first reserved byte at its end', 'EADDRINUSE'),
      ),
      proof(
        'the audit does not ask what is allowed',
        edit(
          'impl/iommufd/audit.ts',
          'if (iopt.allowed.first(start, last) !== undefined) breaches',
          'if (name === undefined) breaches',
        ),
        at.auditTest('an allowed range that is reserved is said', '%s is said', 'an allowed range that is reserved'),
      ),
    ],
  },
  {
    id: 'I-42',
    says: 'IOVA_RANGES gives what is not reserved, ascending, in ranges as long as can be; nothing else changes it.',
    checks: [check('model rule', 'model/iova.ts', 'gaps'), at.sameAnswer],
    proofs: [
      proof(
        'a range ends in the first byte that is reserved',
        edit(at.IOPT, 'ranges.push([free, previous(start)]);', 'ranges.push([free, start]);'),
        at.attachTest(
          'attach reserves the windows of the device and what lies outside the aperture; detach gives both back',
        ),
      ),
      proof(
        'areas are left out as if they were reserved',
        edit(
          at.IOPT,
          'for (const { start, last } of this.reserved.all()) {\n      if (free',
          'for (const { start, last } of [...this.reserved.all(), ...this.areas.all()]) {\n      if (free',
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
    checks: [at.auditPlace, check('refusal', at.IOPT, 'allAligned')],
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
          '!isAligned(start, granule) || pageOffset % alignment !== 0',
          '!isAligned(start, granule)',
        ),
        at.auditTest('an offset off it is said', '%s is said', 'an offset off it'),
      ),
    ],
  },
  {
    id: 'I-44',
    says: 'The alignment is a power of two up to a page: the largest that a domain, an access or the option asks for.',
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
      proof(
        'nobody asks the accesses',
        edit(at.IOPT, '    for (const { alignment } of this.accesses) align = Math.max(align, alignment);\n', ''),
        alignmentOfAccesses,
      ),
      proof(
        'the alignment stays when the access that asked for it goes',
        edit('impl/iommufd/access-table.ts', '      iopt.alignment = iopt.alignmentWith(iopt.domains);\n', ''),
        alignmentOfAccesses,
      ),
    ],
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
];

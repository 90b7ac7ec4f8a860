/** Accesses and small pages: I-85 to I-87. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const PAGES = 'impl/iommufd/access-pages.ts';
const PIN = 'impl/iommufd/access-pin.ts';
const RW = 'impl/iommufd/access-rw.ts';
const UNMAP = 'impl/iommufd/unmap.ts';
const LARGE = 'impl/iommufd/large-pages.ts';
const accessOracle = check('property', 'properties/access/oracle.ts', 'pinned');
const small = (what: string) => at.optionTest(`huge pages off ${what}`, 'huge pages off', what);

export const accesses: readonly Row[] = [
  {
    id: 'I-85',
    says: 'Pinning, reading and writing of a buffer is EPERM or EINVAL, and leaves no pin.',
    checks: [check('refusal', PAGES, 'areaAddAccess'), check('refusal', RW, 'rwAccess'), accessOracle],
    proofs: [
      proof(
        'a buffer is EINVAL before the permission is asked for',
        edit(
          PIN,
          "  if (!permits(area.prot, how.write)) return 'EPERM';",
          "  if (!permits(area.prot, how.write)) return slice.pages.source.kind === 'dmabuf' ? 'EINVAL' : 'EPERM';",
        ),
        at.refusedPin('a dma-buf that is only read, to write: EPERM'),
      ),
      proof(
        'what was pinned before a buffer stays pinned',
        edit(PIN, '      yield* unpinSlices(slices.slice(0, done), how.locks);\n', ''),
        at.refusedPin('memory, and a dma-buf behind it: EINVAL'),
      ),
      proof(
        'a buffer is read, and nothing comes of it',
        edit(
          RW,
          "  if (source.kind === 'dmabuf') return 'EINVAL';",
          "  if (source.kind === 'dmabuf') return undefined;",
        ),
        at.rwTest('the process'),
      ),
    ],
  },
  {
    id: 'I-86',
    says: 'After UNMAP no access holds a pin there, and while it waits for them none gets another.',
    checks: [
      check('audit', 'impl/iommufd/audit-accesses.ts', 'auditPins'),
      check('type', 'impl/iommufd/area.ts', 'preventAccess'),
      check('property', 'test/unit/interleave-access.test.ts', 'endsOf'),
      accessOracle,
    ],
    proofs: [
      proof(
        'UNMAP does not look for pins',
        edit(UNMAP, '  if (area.numAccesses > 0) {', '  if (area.numAccesses > 1000) {'),
        at.accessUnmap('asks them to let go, succeeds, and leaves no pin inside the range (T-36, I-86)'),
      ),
      proof(
        'an area may be pinned while UNMAP waits for it',
        edit(UNMAP, '    area.preventAccess = true;\n', ''),
        at.accessUnmap('lets a pin that comes meanwhile fail with EINVAL (R14)'),
      ),
      proof(
        'UNMAP goes on without having asked',
        edit(UNMAP, '    yield* notifyUnmap(iopt, stop.iova, stop.length);\n', ''),
        at.accessUnmap('succeeds as soon as the access lets go, at the hundredth time of asking'),
      ),
      proof(
        'only reading asks whether UNMAP waits',
        edit(PIN, 'if (area.preventAccess || !isPageAligned', 'if (!isPageAligned'),
        at.raceWithAccess('R14: UNMAP of what is pinned and a pin more: EINVAL while the driver is asked', 250),
      ),
    ],
  },
  {
    id: 'I-87',
    says: 'Large pages are given up only without an area in a domain, and without one off the page.',
    checks: [
      check('refusal', LARGE, 'disableLargePages'),
      check('model rule', 'model/spaces.ts', 'hugePages'),
      at.sameAnswer,
    ],
    proofs: [
      proof(
        'large pages are given up while a domain maps areas',
        edit(LARGE, "    if (iopt.domains.length > 0 && iopt.areas.size > 0) return 'EINVAL';\n", ''),
        small('is EINVAL with a domain and an area, even a revoked one, whatever its alignment'),
      ),
      proof(
        'an area in no domain keeps the large pages, too',
        edit(LARGE, 'if (iopt.domains.length > 0 && iopt.areas.size > 0)', 'if (iopt.areas.size > 0)'),
        at.optionTest(
          'huge pages off is EADDRINUSE for an area with a length of no whole pages, and stays on',
          'huge pages off',
          'is EADDRINUSE for an area with %s of no whole pages, and stays on',
          'a length',
        ),
      ),
      proof(
        'they are asked for once more, and refused',
        edit(LARGE, '    if (iopt.disableLargePages) return undefined;\n', ''),
        small('succeeds once more when they are off already, with a domain and an area'),
      ),
      proof(
        'the option stays when it was refused',
        edit(LARGE, '    if (failed !== undefined) iopt.disableLargePages = false;\n', ''),
        small('is EADDRINUSE with an area of no whole pages, and later maps by large pages as before'),
      ),
    ],
  },
];

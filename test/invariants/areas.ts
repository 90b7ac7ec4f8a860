/** The IOVA space, as areas come and go: I-49 to I-53. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const UNMAP = 'impl/iommufd/unmap.ts';
const unmap = check('model rule', 'model/unmap.ts', 'unmap');

const OWNS = 'an area in set-up owns its IOVA: EEXIST to map, ENOENT to copy, EBUSY to unmap, EADDRINUSE to reserve';
const IN_SETUP_TITLE = 'memory in set-up or teardown, which no access finds: ENOENT (I-53)';
const IN_SETUP = `is refused, and leaves nothing pinned ${IN_SETUP_TITLE}`;

export const areas: readonly Row[] = [
  {
    id: 'I-49',
    says: 'A revoked area keeps its IOVA until UNMAP, or until its IOAS goes.',
    checks: [at.sameAreas, at.sameAnswer],
    proofs: [
      proof(
        'a revoke takes the areas out of the IOAS',
        edit(
          at.DMABUF,
          '    for (const area of source.tracker) {\n',
          '    for (const area of source.tracker) {\n      area.iopt.areas.remove(area);\n',
        ),
        at.scenario('G-14, G-15: a revoked area owns its IOVA, and below the aperture nobody maps'),
      ),
    ],
  },
  {
    id: 'I-50',
    says: 'UNMAP answers the sum of the areas that it removed, all of them inside the range, and leaves none there.',
    checks: [unmap, at.sameAnswer, at.everyInterleaving],
    proofs: [
      proof(
        'UNMAP looks again at what it has freed',
        edit(UNMAP, 'return current().kernel.features.unmapMovesUp ? next(removed.last) : start;', 'return start;'),
        at.race('R11', 'map'),
      ),
      proof(
        'the bytes of revoked areas are not counted',
        edit(
          UNMAP,
          'sweep.bytes = add(sweep.bytes, area.length);',
          `const { source } = pages;
      if (source.kind !== 'dmabuf' || source.len > 0) sweep.bytes = add(sweep.bytes, area.length);`,
        ),
        at.scenario('G-09: UNMAP of everything unmaps what is not revoked, and counts both'),
      ),
    ],
  },
  {
    id: 'I-51',
    says: 'UNMAP cuts no area: one that sticks out is ENOENT, and only those before it are gone.',
    checks: [unmap, at.sameAreas],
    proofs: [
      proof(
        'an area that goes on behind the range is taken along',
        edit(
          UNMAP,
          "if (less(area.iova, start) || less(last, area.last)) return 'ENOENT';",
          "if (less(area.iova, start)) return 'ENOENT';",
        ),
        at.scenario('G-24: UNMAP that ends within an area keeps what it removed before, and answers ENOENT'),
      ),
    ],
  },
  {
    id: 'I-52',
    says: 'UNMAP of everything may find nothing, and answers 0; any other is ENOENT or EBUSY then.',
    checks: [unmap, at.sameAnswer],
    proofs: [
      proof(
        'UNMAP of everything is ENOENT in an empty IOAS',
        edit(
          at.IOAS,
          "(isZero(removed) && !everything ? 'ENOENT' : removed)",
          "(isZero(removed) ? 'ENOENT' : removed)",
        ),
        at.errors('MAP, COPY and MAP_FILE succeed for the last byte that they may have'),
      ),
      proof(
        'any UNMAP may find nothing',
        edit(
          at.IOAS,
          "return failed ?? (isZero(removed) && !everything ? 'ENOENT' : removed);",
          'return failed ?? removed;',
        ),
        at.refused('UNMAP', 'nothing there'),
      ),
    ],
  },
  {
    id: 'I-53',
    says: 'An area in set-up or teardown is EBUSY to UNMAP, EEXIST to MAP, and ENOENT to COPY and to accesses.',
    checks: [
      check('type', 'impl/iommufd/area.ts', 'pages: Pages | undefined;'),
      at.everyInterleaving,
      check('property', 'test/unit/interleave-access.test.ts', 'endsOf'),
    ],
    proofs: [
      proof(
        'UNMAP passes over an area in set-up or teardown',
        edit(
          UNMAP,
          "if (pages === undefined || area.numLocks > 0) return 'EBUSY';",
          "if (pages === undefined) return undefined;\n  if (area.numLocks > 0) return 'EBUSY';",
        ),
        at.race('R10', 'map'),
      ),
      proof(
        'MAP overlooks an area in set-up',
        edit(
          'impl/iommufd/placement.ts',
          "if (iopt.areas.first(iova, last) !== undefined) return 'EEXIST';",
          "if (iopt.areas.first(iova, last)?.pages !== undefined) return 'EEXIST';",
        ),
        at.splatTest(OWNS),
      ),
      proof(
        'COPY of an area in set-up is EBUSY',
        edit(
          at.MAP,
          "if (!coverWithoutHole(areas, iova, last)) return 'ENOENT';",
          "if (!coverWithoutHole(areas, iova, last)) return areas.length > 0 ? 'EBUSY' : 'ENOENT';",
        ),
        at.splatTest(OWNS),
      ),
      proof(
        'MAP shows its areas before they are filled',
        edit(
          at.MAP,
          '    if (iopt.domains.length > 0) failed = yield* fillAll(pieces);\n',
          `    for (const { area, pages } of pieces) (area as Area).pages = pages;
    if (iopt.domains.length > 0) failed = yield* fillAll(pieces);
`,
        ),
        at.race('R9', 'map'),
      ),
      proof(
        'a range without an area that is there counts as whole',
        edit('impl/iommufd/contig.ts', 'return end !== undefined && equal(', 'return end === undefined || equal('),
        at.pinRefusals(IN_SETUP, 'is refused, and leaves nothing pinned', IN_SETUP_TITLE),
      ),
    ],
  },
];

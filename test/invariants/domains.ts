/** Domains and COPY: I-60 to I-67. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const attach = check('model rule', 'model/domains.ts', 'attach');
const copy = check('model rule', 'model/areas.ts', 'copy');

const LARGEST = 'map uses at each address the largest leaf that divides IOVA and target and is not too long (I-67), of';

export const domains: readonly Row[] = [
  {
    id: 'I-60',
    says: 'At rest, each domain of an IOAS maps all of each area that is not revoked, and nothing else.',
    checks: [at.sameReach, at.subPageOffsets],
    proofs: [
      proof(
        'a domain that joins passes over areas that another holds',
        edit(
          at.TABLE_DOMAIN,
          '    if (pages === undefined) continue;',
          '    if (pages === undefined || area.storage !== undefined) continue;',
        ),
        at.raceOfMaps(
          'R12: MAP_FILE and HWPT_ALLOC end with the area once in each domain, in every interleaving, on 7.3',
          'R12: MAP_FILE and HWPT_ALLOC end with the area once in each domain, in every interleaving, on %s',
        ),
      ),
      proof(
        'a batch goes into the first domain only',
        edit(
          at.FILL,
          '  for (const domain of domains) {\n    const failed = reader',
          '  for (const domain of domains.slice(0, 1)) {\n    const failed = reader',
        ),
        at.scenario('G-01: a revoke unmaps both domains, the first first; a second revoke and UNMAP call neither'),
      ),
    ],
  },
  {
    id: 'I-61',
    says: 'All domains of an IOAS translate alike.',
    checks: [at.sameReach, check('audit', at.AUDIT, 'auditIoas')],
    proofs: [
      proof(
        'the last domain gets lost when the first leaves',
        edit(
          at.TABLE_DOMAIN,
          '  if (moved !== domain) domains[slot] = moved;',
          '  if (moved !== domain) domains.splice(slot, 1);',
        ),
        at.unpinTest('the domain that takes the place of the first keeps its place in the order of later maps'),
      ),
    ],
  },
  {
    id: 'I-62',
    says: 'A domain that cannot join leaves no mapping, tracker entry, reservation or alignment, and calls no other.',
    checks: [at.everyFault, attach],
    proofs: [
      proof(
        'what lies outside the aperture stays reserved',
        edit(at.TABLE_DOMAIN, '    iopt.unreserve(domain);\n    return failed;', '    return failed;'),
        at.faults('HWPT_ALLOC as the first domain'),
      ),
      proof(
        'the unwind begins with the mutex of the area that failed still held',
        edit(
          at.FILL,
          `  try {
    return yield* fillLocked(area, pages, domain);
  } finally {
    pages.mutex.release();
  }`,
          `  const failed = yield* fillLocked(area, pages, domain);
  if (failed === undefined) pages.mutex.release();
  return failed;`,
        ),
        at.scenario(
          'G-22: a new domain that cannot map its second area unmaps the first, and the old domain is not touched',
        ),
      ),
    ],
  },
  {
    id: 'I-63',
    says: 'MAP or COPY that fails leaves every domain as it was, and the IOVA free.',
    checks: [at.everyFault, at.rightCalls],
    proofs: [
      proof(
        'when a domain fails, the one before it keeps the batch',
        edit(at.FILL, 'd < mapped ? end : reader.start', 'd < mapped - 1 ? end : reader.start'),
        at.scenario('G-21: a second domain that cannot map has the first unmapped again, and the IOVA is free'),
      ),
      proof(
        'when a piece of a copy fails, the one before it stays',
        edit(at.MAP, 'pieces.slice(0, i) as Placed[]', 'pieces.slice(1, i) as Placed[]'),
        at.faults('COPY of two pieces, with two domains'),
      ),
    ],
  },
  {
    id: 'I-64',
    says: 'A domain that leaves has unmapped each area once, and each area is stored in one that stays, or in none.',
    checks: [check('audit', at.AUDIT, 'auditArea'), at.rightCalls],
    proofs: [
      proof(
        'the areas stay stored in the domain that leaves',
        edit(at.FILL, '    if (area.storage === domain) area.storage = heir;\n', ''),
        at.unpinTest(
          'when the first of three domains goes, its areas are stored in slot 0, and nothing else is unmapped',
          'when %s of three domains goes, its areas are stored in slot 0, and nothing else is unmapped',
          'the first',
        ),
      ),
      proof(
        'the audit does not mind an area that is stored nowhere',
        edit(at.AUDIT, 'storage === undefined ? domains.length === 0 :', 'storage === undefined ||'),
        at.auditTest('an area stored nowhere is said', '%s is said', 'an area stored nowhere'),
      ),
    ],
  },
  {
    id: 'I-65',
    says: 'COPY asks for writing only of what was mapped for it, else EPERM; any part that areas cover can be copied.',
    checks: [copy, at.sameAnswer],
    proofs: [
      proof(
        'a copy may have any permission',
        edit(at.MAP, "  if ((prot & IOMMU_WRITE) !== 0 && !piece.pages.writable) return 'EPERM';\n", ''),
        at.scenario('G-13: COPY does not write what was mapped without WRITEABLE'),
      ),
      proof(
        'a copy takes areas from their start',
        edit(at.MAP, '  const from = max(iova, area.iova);', '  const from = area.iova;'),
        at.subpage('COPY maps example C: the second half of B begins a page'),
      ),
    ],
  },
  {
    id: 'I-66',
    says: 'When its source is unmapped a copy stays, and can still be revoked.',
    checks: [copy, at.sameReach],
    proofs: [
      proof(
        'UNMAP takes all areas of the buffer out of the tracker',
        edit(
          at.DMABUF,
          '  area.tracked = UNTRACKED;\n  source.tracker.delete(area);',
          '  area.tracked = UNTRACKED;\n  for (const one of source.tracker) source.tracker.delete(one);',
        ),
        at.lifetime('a copy of a buffer stays mapped when its source is unmapped, and is revoked with the buffer'),
      ),
    ],
  },
  {
    id: 'I-67',
    says: 'At each address stands the largest leaf that divides IOVA and physical address and is not too long.',
    checks: [check('property', 'test/unit/iommu-page-table.test.ts', 'greedy')],
    proofs: [
      proof(
        'a large leaf may lie across the large pages of memory',
        edit(
          'impl/iommu/page-table.ts',
          'if (granules <= count && isMultiple(granule, granules) && isMultiple(target, granules)) return at;',
          'if (granules <= count && isMultiple(granule, granules)) return at;',
        ),
        at.pageTable(`${LARGEST} three sizes`, `${LARGEST} %s`, 'three sizes'),
      ),
    ],
  },
];

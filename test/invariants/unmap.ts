/** No double unmap, and no lost one: I-10 to I-17. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const REVOKED_IS_ASKED = '    if (!isRevoked(pages)) unmapArea(area, domain);';
const unmappedByDestroy = edit(at.FILL, REVOKED_IS_ASKED, '    unmapArea(area, domain);');
const TRACKED = 'a domain is tracked before it maps a buffer, and until it has unmapped it,';
const auditArea = check('audit', at.AUDIT, 'auditArea');

export const unmapped: readonly Row[] = [
  {
    id: 'I-10',
    core: true,
    says: 'Each pair of area and domain is unmapped as often as it was mapped, and once less while it is mapped.',
    checks: [at.noDoubleUnmap, at.rightCalls],
    proofs: [
      proof(
        'UNMAP unmaps what a revoke has unmapped',
        edit(
          at.FILL,
          '    if (!isRevoked(pages)) {\n      for (const domain of area.iopt.domains)',
          '    if (pages.npages > 0) {\n      for (const domain of area.iopt.domains)',
        ),
        at.scenario('G-01: a revoke unmaps both domains, the first first; a second revoke and UNMAP call neither'),
      ),
      proof(
        'the predicate minds only unmaps that find too much',
        edit(at.INVARIANTS, 'call.cleared !== call.length', 'call.cleared > call.length'),
        at.predicateTest(
          'no double unmap rejects an unmap that finds less than it asks for',
          'no double unmap',
          'rejects %s',
          'an unmap that finds less than it asks for',
        ),
      ),
    ],
  },
  {
    id: 'I-11',
    core: true,
    says: 'Every unmap clears exactly what it asks for.',
    checks: [at.shortUnmap],
    proofs: [
      proof(
        'unpinning unmaps up to the end of the last page',
        edit(
          'impl/iommufd/unpin.ts',
          'domain.unmap(start, toNumber(sub(area.iovaLastOfIndex(index + batch.total - 1), start)) + 1);',
          'domain.unmap(start, batch.total * PAGE_SIZE);',
        ),
        at.unpinTest(
          'memory that is mapped from and to the middle of pages is unmapped to the byte, its pages are unpinned',
        ),
      ),
      proof(
        'a domain minds only an unmap that finds nothing at all',
        edit(at.DOMAIN, 'if (cleared !== length) {', 'if (cleared === 0) {'),
        at.domainTest(
          'unmap splats and says how little there was, when less is mapped',
          'unmap splats and says how little there was, when %s',
          'less is mapped',
        ),
      ),
    ],
  },
  {
    id: 'I-12',
    core: true,
    says: 'UNMAP, the removal of a domain, DESTROY and an unwind make no unmap call for revoked pages.',
    checks: [at.shortUnmap, at.rightCalls],
    proofs: [
      proof(
        'a domain that leaves unmaps what a revoke has unmapped',
        unmappedByDestroy,
        at.scenario('G-16: after a revoke, DESTROY of a domain, detach and UNMAP succeed without a call'),
      ),
      proof(
        'the last domain unmaps what a revoke has unmapped',
        edit(at.FILL, '  if (isRevoked(pages)) return;', '  if (isRevoked(pages) && pages.npinned > 0) return;'),
        at.scenario('G-09: UNMAP of everything unmaps what is not revoked, and counts both'),
      ),
    ],
  },
  {
    id: 'I-13',
    core: true,
    says: 'A second revoke, and the callback of a buffer that is given back, make no call.',
    checks: [at.shortUnmap, at.noDoubleUnmap],
    proofs: [
      proof(
        'a callback unmaps all that is tracked, revoked before or not',
        edit(at.DMABUF, '    if (source.len === 0) return;', '    if (source.paddr === 0) return;'),
        at.race('R6', 'unwind'),
      ),
    ],
  },
  {
    id: 'I-14',
    core: true,
    says: 'When a revoke races with UNMAP or with the removal of a domain, one of the two unmaps each pair.',
    checks: [at.everyInterleaving, at.shortUnmap],
    proofs: [
      proof(
        'UNMAP asks whether the pages are revoked before it has their mutex',
        edit(
          at.FILL,
          `  yield pages.mutex;
  try {
    const { storage } = area;
    if (storage === undefined) return;
    if (!isRevoked(pages)) {`,
          `  const revoked = pages.source.kind === 'dmabuf' && pages.source.len === 0;
  yield pages.mutex;
  try {
    const { storage } = area;
    if (storage === undefined) return;
    if (!revoked) {`,
        ),
        at.race('R2', 'revoke'),
      ),
    ],
  },
  {
    id: 'I-15',
    core: true,
    says: 'When a new domain cannot be filled, its unwind does not unmap what a revoke has unmapped meanwhile.',
    checks: [at.shortUnmap, at.everyInterleaving],
    proofs: [proof('the unwind unmaps every area that was filled', unmappedByDestroy, at.race('R17', 'unwind'))],
  },
  {
    id: 'I-16',
    core: true,
    says: 'At rest, pages track each of their areas once for each domain of its IOAS; and none when they go.',
    checks: [auditArea, check('splat', at.DMABUF, 'dma-buf pages released with tracker entries')],
    proofs: [
      proof(
        'UNMAP leaves the area in the tracker',
        edit(
          at.FILL,
          '    unstoreAndUnpin(area, pages, storage);\n    untrackAllDomains(pages, area);',
          '    unstoreAndUnpin(area, pages, storage);',
        ),
        at.lifetime('a copy of a buffer stays mapped when its source is unmapped, and is revoked with the buffer'),
      ),
      proof(
        'a domain that leaves stays in the tracker',
        edit(
          at.FILL,
          '    if (area.storage === domain) area.storage = heir;\n  }\n  untrackDomain(pages, area, domain);',
          '    if (area.storage === domain) area.storage = heir;\n  }',
        ),
        at.race('R4', 'revoke'),
      ),
      proof(
        'the audit does not mind a domain that is tracked twice',
        edit(
          at.AUDIT,
          'if (tracked.length !== domains.length) return false;',
          'if (tracked.length < domains.length) return false;',
        ),
        at.auditTest('a domain tracked twice is said', '%s is said', 'a domain tracked twice'),
      ),
    ],
  },
  {
    id: 'I-17',
    core: true,
    says: 'A pair is tracked before it is first mapped, and until it was last unmapped.',
    checks: [check('property', 'test/unit/iommufd-revoke.test.ts', 'watch')],
    proofs: [
      proof(
        'MAP_FILE tracks the domains when it has mapped',
        edit(
          at.FILL,
          `    const untracked = trackAllDomains(pages, area, domains);
    if (untracked !== undefined) return untracked;
    if (!isRevoked(pages)) {
      const failed = yield* mapInto(area, pages, domains);
      if (failed !== undefined) {
        untrackAllDomains(pages, area);
        return failed;
      }
    }`,
          `    if (!isRevoked(pages)) {
      const failed = yield* mapInto(area, pages, domains);
      if (failed !== undefined) return failed;
    }
    trackAllDomains(pages, area, domains);`,
        ),
        at.revokeTest(`${TRACKED} in MAP_FILE`, TRACKED, 'in MAP_FILE'),
      ),
      proof(
        'UNMAP gives up the tracker before it unmaps',
        edit(
          at.FILL,
          '    if (storage === undefined) return;\n    if (!isRevoked(pages)) {',
          '    if (storage === undefined) return;\n    untrackAllDomains(pages, area);\n    if (!isRevoked(pages)) {',
        ),
        at.revokeTest(`${TRACKED} in UNMAP`, TRACKED, 'in UNMAP'),
      ),
    ],
  },
];

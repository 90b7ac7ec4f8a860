/** Never mapped while revoked: I-01 to I-08. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const dies = check('model rule', 'model/devices.ts', 'revoke');

export const revoked: readonly Row[] = [
  {
    id: 'I-01',
    core: true,
    says: 'When a revoke has returned, no byte of any area of the buffer is translated, in any domain.',
    checks: [at.neverMapped, at.sameReach],
    proofs: [
      proof(
        'a revoke forgets all domains but the first',
        edit(
          at.DMABUF,
          'for (const domain of area.tracked) domain.unmap(area.iova, toNumber(area.length));',
          'area.tracked[0]?.unmap(area.iova, toNumber(area.length));',
        ),
        at.scenario('G-01: a revoke unmaps both domains, the first first; a second revoke and UNMAP call neither'),
      ),
      proof(
        'the predicate overlooks device memory in an area that was shot',
        edit(at.INVARIANTS, 'if (area.shot) found.push(', 'if (area.shot && pte.cache) found.push('),
        at.predicateTest(
          'never mapped while revoked rejects a PTE in an area that was shot',
          'never mapped while revoked',
          'rejects %s',
          'a PTE in an area that was shot',
        ),
      ),
    ],
  },
  {
    id: 'I-02',
    core: true,
    says: 'Pages that were revoked once stay so, whatever the exporter does afterwards.',
    checks: [dies, at.neverMapped],
    proofs: [
      proof(
        'the callback of a buffer that is given back makes its pages usable again',
        edit(
          at.DMABUF,
          '    if (source.len === 0) return;',
          `    if (source.len === 0) {
      if (source.paddr > 0) source.len = source.dmabuf.size;
      return;
    }`,
        ),
        at.scenario('G-17: a revoked area is never mapped again, whatever the exporter gives back'),
      ),
    ],
  },
  {
    id: 'I-03',
    core: true,
    says: 'No map call is made for revoked pages: not by MAP_FILE, COPY, HWPT_ALLOC, attach or replace.',
    checks: [check('splat', at.READER, 'a reader starts on revoked pages'), at.rightCalls],
    proofs: [
      proof(
        'a domain that joins maps revoked pages at their stale address',
        edit(
          at.FILL,
          '  if (!isRevoked(pages)) {\n    const failed = yield* mapInto(area, pages, domain.alone);',
          '  if (pages.npages > 0) {\n    const failed = yield* mapInto(area, pages, domain.alone);',
        ),
        at.scenario('G-17: a revoked area is never mapped again, whatever the exporter gives back'),
      ),
      proof(
        'COPY maps revoked pages',
        edit(
          at.FILL,
          '    if (!isRevoked(pages)) {\n      const failed = yield* mapInto(area, pages, domains);',
          '    if (pages.npages > 0) {\n      const failed = yield* mapInto(area, pages, domains);',
        ),
        at.race('R5', 'revoke'),
      ),
      proof(
        'a reader minds only pages that were never revoked',
        edit(at.READER, 'warnOn(isRevoked(pages),', 'warnOn(isRevoked(pages) && pages.npinned > 0,'),
        at.splatTest('a revoked buffer is never read, tracked twice, or untracked twice'),
      ),
    ],
  },
  {
    id: 'I-04',
    core: true,
    says: 'A revoke cannot fail, allocates nothing, and returns while others hold the locks of the IOAS.',
    checks: [
      check('type', 'impl/dmabuf/attachment.ts', 'invalidateMappings'),
      check('property', 'test/unit/iommufd-revoke.test.ts', 'revokeAt'),
    ],
    proofs: [
      proof(
        'the callback waits for domains_rwsem',
        edit(
          at.DMABUF,
          '  assertHeld(source.dmabuf.resv);\n  yield pages.mutex;',
          `  assertHeld(source.dmabuf.resv);
  for (const { iopt } of source.tracker) {
    yield iopt.domainsRwsem.read;
    iopt.domainsRwsem.releaseRead();
  }
  yield pages.mutex;`,
        ),
        at.revokeTest(
          'a revoke returns wherever UNMAP has stopped, unless that has dma_resv or the mutex of the pages',
          'a revoke returns wherever %s has stopped, unless that has dma_resv or the mutex of the pages',
          'UNMAP',
        ),
      ),
      proof(
        'the callback allocates a list of what it unmaps',
        edit(
          at.DMABUF,
          '    if (source.len === 0) return;',
          "    if (source.len === 0 || shouldFail('kmalloc')) return;",
        ),
        at.revokeTest('a revoke passes no point at which an allocation could fail'),
      ),
    ],
  },
  {
    id: 'I-05',
    core: true,
    says: 'A buffer that is revoked after MAP_FILE has learned where it lies ends unmapped, in every interleaving.',
    checks: [at.everyInterleaving],
    proofs: [
      proof(
        'a revoke that finds nothing mapped is forgotten',
        edit(
          at.DMABUF,
          '    if (source.len === 0) return;',
          '    if (source.len === 0 || source.tracker.size === 0) return;',
        ),
        at.race('R1', 'revoke'),
      ),
    ],
  },
  {
    id: 'I-06',
    core: true,
    says: 'MAP_FILE that asks where the buffer lies after it was revoked is ENODEV, and leaves nothing.',
    checks: [check('refusal', at.EXPORTER, 'vfioPciDmaBufIommufdMap'), at.auditFile, at.everyInterleaving],
    proofs: [
      proof(
        'the interconnect relies on what attach has seen',
        edit(
          at.EXPORTER,
          "  if (priv === undefined) return 'EOPNOTSUPP';\n  const refused = refusalOf(priv, 'import');",
          "  if (priv === undefined) return 'EOPNOTSUPP';\n  const refused = refusalOf(priv, 'import') && undefined;",
        ),
        at.raceWithRevoke(
          'R1: MAP_FILE is ENODEV and leaves nothing, when the buffer is revoked between attach and interconnect',
        ),
      ),
      proof(
        'a refused MAP_FILE stays attached',
        edit(at.DMABUF, '  yield* detach(attachment);\n  pages.gone();', '  pages.gone();'),
        at.raceWithRevoke(
          'R1: MAP_FILE is ENODEV and leaves nothing, when the buffer is revoked between attach and interconnect',
        ),
      ),
    ],
  },
  {
    id: 'I-07',
    core: true,
    says: 'One revoke unmaps every area on the pages: copies, too, and those in other IOASes.',
    checks: [at.neverMapped, check('audit', at.AUDIT, 'auditArea')],
    proofs: [
      proof(
        'only the first area of a buffer is tracked',
        edit(at.DMABUF, '  source.tracker.add(area);', '  if (source.tracker.size === 0) source.tracker.add(area);'),
        at.lifetime('a copy of a buffer stays mapped when its source is unmapped, and is revoked with the buffer'),
      ),
    ],
  },
  {
    id: 'I-08',
    core: true,
    says: 'What is mapped after the buffer was given back has nothing to do with what was revoked before.',
    checks: [at.neverMapped, dies],
    proofs: [
      proof(
        'all mappings of a buffer share one state',
        edit(
          'impl/iommufd/pages.ts',
          '  len = 0;\n',
          '  get len() { return this.dmabuf.len ?? 0; }\n  set len(len) { this.dmabuf.len = len; }\n',
        ),
        at.lifetime(
          'a buffer that is given back is mapped afresh beside its dead mapping, and revoked without touching that',
        ),
      ),
    ],
  },
];

/** Importers, and what they are told: V-33 to V-39. */
import * as iommufd from './places.ts';
import { check, edit, proof, type Row } from './row.ts';
import * as at from './vfio-places.ts';

const ATTACH =
  'to a buffer, revoked: $revoked, dynamic: $dynamic, peer2peer: $peer2peer, told: $invalidate, answers $answer';
const attach = (revoked: boolean, dynamic: boolean, peer2peer: boolean, told: boolean, answer: string) =>
  at.attachTest(
    `to a buffer, revoked: ${revoked}, dynamic: ${dynamic}, peer2peer: ${peer2peer}, told: ${told}, answers ${answer}`,
    ATTACH,
  );
const UNDER_LOCKS = 'run once per revoke and once per un-revoke, with resv and memory_lock held';
const INVALIDATE = 'if (dmabuf.attached > 0) yield* invalidateMappings(dmabuf);';

export const importers: readonly Row[] = [
  {
    id: 'V-33',
    says: 'Importers are called with dma_resv and memory_lock held, and not after their detach has returned.',
    checks: [
      check('lock assertion', at.ATTACHMENT, 'invalidateMappings'),
      check('property', 'properties/triggers/scene.ts', 'V-33'),
    ],
    proofs: [
      proof(
        'importers are called when the lock is free again',
        edit(
          at.REVOKE,
          '    for (const effect of held) yield* doHeld(effect, priv);\n  } finally {\n    resv.release();\n  }\n',
          '  } finally {\n    resv.release();\n  }\n  for (const effect of held) yield* doHeld(effect, priv);\n',
        ),
        at.callbacks(UNDER_LOCKS),
      ),
      proof(
        'a detach leaves the importer on the list',
        edit(
          at.ATTACHMENT,
          'const linked = dmabuf.unlink(attachment);',
          'const linked = dmabuf.attachments.includes(attachment);',
        ),
        at.callbacks('do not run for an importer whose detach returned'),
      ),
    ],
  },
  {
    id: 'V-34',
    says: 'A revoke calls each importer once that can be told, and up to 7.3 so does giving back.',
    checks: [at.rules],
    proofs: [
      proof(
        'importers are called twice',
        edit(at.REVOKE, INVALIDATE, `${INVALIDATE}\n      ${INVALIDATE}`),
        at.callbacks(UNDER_LOCKS),
      ),
      proof(
        'only the newest importer is called',
        edit(
          at.ATTACHMENT,
          '  for (const attachment of dmabuf.attachments) {\n    const ops = attachment.importerOps;',
          '  for (const attachment of dmabuf.attachments.slice(0, 1)) {\n    const ops = attachment.importerOps;',
        ),
        at.sequences,
      ),
    ],
  },
  {
    id: 'V-35',
    says: 'Who may attach is decided by peer-to-peer, then by the state of the buffer, then by whether it can be told.',
    checks: [check('property', 'test/unit/vfio-importer.test.ts', ATTACH)],
    proofs: [
      proof(
        'an importer that does no peer-to-peer may attach',
        edit(at.EXPORT, "    if (!attachment.peer2peer) return 'EOPNOTSUPP';\n", ''),
        attach(false, true, false, true, 'EOPNOTSUPP'),
      ),
      proof(
        'an importer that cannot be told of a revoke may attach',
        edit(
          at.EXPORT,
          "!current().kernel.features.attachNeedsRevocable ? undefined : 'EOPNOTSUPP';",
          "current().kernel.lockdep ? undefined : 'EOPNOTSUPP';",
        ),
        attach(false, true, true, false, 'EOPNOTSUPP'),
      ),
      proof(
        'whether it can be told is asked before the state of the buffer',
        edit(
          at.EXPORT,
          "    const refused = refusalOf(privOf(dmabuf), 'import');\n",
          `    if (!isRevocable(attachment)) return 'EOPNOTSUPP';
    const refused = refusalOf(privOf(dmabuf), 'import');
`,
        ),
        attach(true, true, true, false, 'ENODEV'),
      ),
    ],
  },
  {
    id: 'V-36',
    says: 'Who attached to a usable buffer stays attached through a revoke, and maps again when it is given back.',
    checks: [at.rules],
    proofs: [
      proof(
        'a revoke drops the importers that it has called',
        edit(
          at.REVOKE,
          INVALIDATE,
          `${INVALIDATE}\n      for (const attachment of dmabuf.attachments) dmabuf.unlink(attachment);`,
        ),
        at.attachTest('of an importer outlives a revoke, and maps again without attaching again'),
      ),
    ],
  },
  {
    id: 'V-37',
    says: 'iommufd is told the one range; while revoked that is ENODEV, and of several ranges EOPNOTSUPP.',
    checks: [check('refusal', at.EXPORT, 'vfioPciDmaBufIommufdMap')],
    proofs: [
      proof(
        'the ranges are counted before the state is looked at',
        edit(
          at.EXPORT,
          "  if (priv === undefined) return 'EOPNOTSUPP';",
          "  if (priv === undefined || priv.physVec.length > 1) return 'EOPNOTSUPP';",
        ),
        at.interconnect('of two ranges while revoked', 'ENODEV'),
      ),
      proof(
        'of several ranges the first is told',
        edit(at.EXPORT, 'return priv.physVec.length === 1 ?', 'return priv.physVec.length > 0 ?'),
        at.interconnect('of two ranges while usable', 'EOPNOTSUPP'),
      ),
    ],
  },
  {
    id: 'V-38',
    says: 'What iommufd was told of a revoke for translates nothing until it is unmapped and mapped anew.',
    checks: [iommufd.neverMapped, iommufd.sameReach],
    proofs: [
      proof(
        'iommufd unmaps, and does not remember that it was told',
        edit(
          iommufd.DMABUF,
          '    source.len = 0;\n  } finally {',
          '    if (source.tracker.size === 0) source.len = 0;\n  } finally {',
        ),
        iommufd.scenario('G-17: a revoked area is never mapped again, whatever the exporter gives back'),
      ),
    ],
  },
  {
    id: 'V-39',
    says: 'What an IOMMU maps of a buffer belongs to a usable one, or to one of which the revoke has not returned.',
    checks: [iommufd.neverMapped, iommufd.sameReach],
    proofs: [
      proof(
        'a revoke tells nobody',
        edit(at.REVOKE, INVALIDATE, 'if (dmabuf.attached < 0) yield* invalidateMappings(dmabuf);'),
        iommufd.scenario('G-01: a revoke unmaps both domains, the first first; a second revoke and UNMAP call neither'),
      ),
    ],
  },
];

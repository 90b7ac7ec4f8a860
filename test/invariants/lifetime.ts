/** References and lifetime: I-70 to I-75. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const RELEASE = 'impl/iommufd/release.ts';
const leftovers = check('property', 'properties/leftovers.ts', 'leftovers');
const CLOSED =
  'the descriptor of a buffer may be closed: each mapping holds one reference, and the last UNMAP the last';

export const lifetimes: readonly Row[] = [
  {
    id: 'I-70',
    says: 'A buffer has one attachment for each pages object on it, as long as that lives.',
    checks: [at.auditFile, at.auditImport],
    proofs: [
      proof(
        'pages that go stay attached',
        edit(at.DMABUF, '  yield* detach(attachment);\n  dmabuf.file.put();', '  dmabuf.file.put();'),
        at.objects(
          'DESTROY of an IOAS takes its areas along, and their attachments',
          'of an IOAS takes its areas along, and their attachments',
        ),
      ),
      proof(
        'the audit minds only attachments too many',
        edit(at.AUDIT, 'if (attached !== file.kept) it', 'if (attached > file.kept) it'),
        at.auditTest('an import without an attachment, and an attachment without an import, make the sums differ'),
      ),
    ],
  },
  {
    id: 'I-71',
    says: 'A pages object holds one reference of its buffer, so that a mapping outlives the descriptor.',
    checks: [at.auditReferences, leftovers],
    proofs: [
      proof(
        'the reference of the buffer is never dropped',
        edit(at.DMABUF, '  yield* detach(attachment);\n  dmabuf.file.put();', '  yield* detach(attachment);'),
        at.lifetime(CLOSED),
      ),
      proof(
        'MAP_FILE takes no reference of its own',
        edit(
          at.IOAS,
          "    if (file === undefined) return 'EBADF';\n    file.get();",
          "    if (file === undefined) return 'EBADF';",
        ),
        at.lifetime(CLOSED),
      ),
    ],
  },
  {
    id: 'I-72',
    says: 'MAP_FILE that fails leaves the buffer with the references and attachments that it had.',
    checks: [at.auditReferences, at.auditFile, at.everyFault],
    proofs: [
      proof(
        'a MAP_FILE that the exporter refuses keeps its reference',
        edit(at.IOAS, '    file.put();\n    return pages;', '    return pages;'),
        at.exporterTest(
          'MAP_FILE of a buffer that another driver exports is refused at pin, before its place is looked at, ' +
            'and gives all back',
          'MAP_FILE of a buffer that another driver exports',
          'is refused %s, before its place is looked at, and gives all back',
          'at pin',
        ),
      ),
      proof(
        'a MAP_FILE whose IOVA is taken keeps its pages',
        edit(at.IOAS, '  if (isErrno(iova)) yield* putPages(pages);\n', ''),
        at.faults('MAP_FILE of a buffer, without a domain'),
      ),
    ],
  },
  {
    id: 'I-73',
    says: 'Each pin of an attachment is balanced by one unpin, both under dma_resv.',
    checks: [check('lock assertion', 'impl/dmabuf/attachment.ts', 'unpin')],
    proofs: [
      proof(
        'pages that go unpin without the lock',
        edit(
          at.DMABUF,
          `  yield resv;
  try {
    unpin(attachment);
  } finally {
    resv.release();
  }`,
          '  unpin(attachment);',
        ),
        at.lifetime('a buffer is pinned by MAP_FILE and unpinned by what ends the mapping, both under dma_resv'),
      ),
      proof(
        'a buffer that cannot say where it lies stays pinned',
        edit(at.DMABUF, '      if (source.pinned) unpin(attachment);\n      return phys;', '      return phys;'),
        at.exporterTest(
          'MAP_FILE of a buffer that another driver exports is refused because it is no device memory (G-19), ' +
            'before its place is looked at, and gives all back',
          'MAP_FILE of a buffer that another driver exports',
          'is refused %s, before its place is looked at, and gives all back',
          'because it is no device memory (G-19)',
        ),
      ),
    ],
  },
  {
    id: 'I-74',
    says: 'No callback runs after detach has returned; until then, the mutex that it takes is there.',
    checks: [check('splat', 'impl/kernel/mutex.ts', 'after mutex_destroy'), at.everyInterleaving],
    proofs: [
      proof(
        'the mutex of the pages is destroyed before they are detached',
        edit(
          RELEASE,
          "  if (source.kind === 'dmabuf') yield* releaseDmabuf(source);",
          "  pages.mutex.destroy();\n  if (source.kind === 'dmabuf') yield* releaseDmabuf(source);",
        ),
        at.race('R2', 'revoke'),
      ),
    ],
  },
  {
    id: 'I-75',
    says: 'A pages object is referenced by each of its areas, and by an operation for what it has not handed over.',
    checks: [at.auditReferences],
    proofs: [
      proof(
        'a copy takes no reference of the pages',
        edit(at.MAP, '  pages.kref.get();\n', ''),
        at.unpinTest('pages are known to their kernel while an area shows them, and counted for each'),
      ),
      proof(
        'a copy that fails keeps its references',
        edit(at.IOAS, '  if (isErrno(iova)) for (const { pages } of pieces) yield* putPages(pages);\n', ''),
        at.faults('COPY of two pieces, without a domain'),
      ),
    ],
  },
];

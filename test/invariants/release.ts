/** The end of things, and accounting: I-76 to I-79. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const RELEASE = 'impl/iommufd/release.ts';
const CONTEXT = 'impl/iommufd/context.ts';
const leftovers = check('property', 'properties/leftovers.ts', 'leftovers');

export const releases: readonly Row[] = [
  {
    id: 'I-76',
    says: 'Pages that go are in no domain, pinned by nobody, tracked for nobody, and without accesses.',
    checks: [
      check('splat', RELEASE, 'pages released while a domain holds them'),
      check('splat', RELEASE, 'pages released while an access holds them'),
      check('splat', at.DMABUF, 'dma-buf pages released with tracker entries'),
    ],
    proofs: [
      proof(
        'UNMAP leaves the area in the tracker',
        edit(
          at.FILL,
          '    unstoreAndUnpin(area, pages, storage);\n    untrackAllDomains(pages, area);',
          '    unstoreAndUnpin(area, pages, storage);',
        ),
        at.scenario('G-24: UNMAP that ends within an area keeps what it removed before, and answers ENOENT'),
      ),
      proof(
        'pages are released with pins',
        edit(RELEASE, 'warnOn(pages.npinned !== 0,', 'warnOn(pages.npinned < 0,'),
        at.splatTest('pages are not released with a domain, with pins, with charges, or with tracker entries'),
      ),
      proof(
        'UNMAP releases what an access has pinned',
        edit('impl/iommufd/unmap.ts', '  if (area.numAccesses > 0) {', '  if (area.numAccesses > 1000) {'),
        at.raceWithAccess('R14: UNMAP and a pin: it comes too late, or is asked to let go; never is it left', 100),
      ),
    ],
  },
  {
    id: 'I-77',
    says: 'A context that goes gives up every pin, attachment and file reference, whatever state it is in.',
    checks: [leftovers, at.auditFile, check('audit', 'impl/audit-charges.ts', 'auditCharges')],
    proofs: [
      proof(
        'a device that is unbound keeps the file of its context',
        edit('impl/iommufd/device.ts', '    if (!this.dev.selftest) this.ctx.file.put();\n', ''),
        at.objects(
          'when context and attached device are closed, the context first, all pins and attachments are gone',
          'when context and attached device are closed, %s, all pins and attachments are gone',
          'the context first',
        ),
      ),
      proof(
        'the IOASes of a closed context are forgotten, and not destroyed',
        edit(
          CONTEXT,
          '        this.remove(object);\n        yield* object.destroy();',
          "        this.remove(object);\n        if (object.kind !== 'ioas') yield* object.destroy();",
        ),
        at.objects(
          'when context and attached device are closed, the device first, all pins and attachments are gone',
          'when context and attached device are closed, %s, all pins and attachments are gone',
          'the device first',
        ),
      ),
      proof(
        'a process that has unpinned its pages goes on being charged',
        edit('impl/iommufd/accounting.ts', '  account.mm.pinnedVm -= count;\n', ''),
        at.objects(
          'when context and attached device are closed, the context first, all pins and attachments are gone',
          'when context and attached device are closed, %s, all pins and attachments are gone',
          'the context first',
        ),
      ),
      proof(
        'an access that goes keeps the file of its context',
        edit('impl/iommufd/access.ts', '    if (!this.internal) this.ctx.file.put();\n', ''),
        at.accessObjects(
          'an access keeps the context alive after its descriptor is closed, with memory and pins (I-77)',
          'an access',
          'keeps the context alive after its descriptor is closed, with memory and pins (I-77)',
        ),
      ),
    ],
  },
  {
    id: 'I-78',
    says: 'A buffer is mapped by a user who may lock no memory.',
    checks: [
      check('audit', 'impl/audit-charges.ts', 'auditCharges'),
      check('property', 'properties/accounting.ts', 'wrong'),
    ],
    proofs: [
      proof(
        'a buffer must fit into the limit of locked memory',
        edit(
          at.DMABUF,
          "  if (shouldFail('iopt_alloc_pages')) return 'ENOMEM';\n",
          `  if (shouldFail('iopt_alloc_pages')) return 'ENOMEM';
  const { process } = current();
  if (process !== undefined && npages > process.rlimitMemlock.page) return 'ENOMEM';
`,
        ),
        at.accounting(at.NO_LIMIT),
      ),
    ],
  },
  {
    id: 'I-79',
    says: 'DESTROY succeeds just when nothing uses the object; areas do not use their IOAS.',
    checks: [check('audit', 'impl/audit.ts', 'auditContext'), check('model rule', 'model/domains.ts', 'destroy')],
    proofs: [
      proof(
        'DESTROY uses the object itself',
        edit(
          CONTEXT,
          "    if (object.users !== 1) return 'EBUSY';",
          "    object.users++;\n    if (object.users !== 1) return 'EBUSY';",
        ),
        at.objects(
          'DESTROY of an IOAS takes its areas along, and their attachments',
          'of an IOAS takes its areas along, and their attachments',
        ),
      ),
      proof(
        'one user is not enough to keep an object',
        edit(CONTEXT, "    if (object.users !== 1) return 'EBUSY';", "    if (object.users > 2) return 'EBUSY';"),
        at.objects(
          'DESTROY is EBUSY for an IOAS while a page table is on it, and succeeds afterwards',
          'is EBUSY for %s, and succeeds afterwards',
          'an IOAS while a page table is on it',
        ),
      ),
    ],
  },
];

/** Files and checks that many rows name. */
import { check, type Test, test } from './row.ts';

export const FILL = 'impl/iommufd/fill.ts';
export const DMABUF = 'impl/iommufd/dmabuf.ts';
export const TABLE_DOMAIN = 'impl/iommufd/table-domain.ts';
export const MAP = 'impl/iommufd/map.ts';
export const BATCH = 'impl/iommufd/pfn-batch.ts';
export const READER = 'impl/iommufd/pfn-reader.ts';
export const IOAS = 'impl/iommufd/ioas.ts';
export const IOPT = 'impl/iommufd/io-pagetable.ts';
export const DOMAIN = 'impl/iommu/domain.ts';
export const AUDIT = 'impl/audit-disturbed.ts';
export const EXPORTER = 'impl/vfio/pci-dmabuf.ts';
export const INVARIANTS = 'model/invariants.ts';

export const neverMapped = check('predicate', INVARIANTS, 'neverMappedWhileRevoked');
export const noDoubleUnmap = check('predicate', INVARIANTS, 'noDoubleUnmap');
export const oneMmioRange = check('predicate', INVARIANTS, 'oneMmioRange');
export const subPageOffsets = check('predicate', INVARIANTS, 'subPageOffsets');
/** A domain that clears less than it is asked to. */
export const shortUnmap = check('splat', DOMAIN, 'double unmap');
/** Every byte of every domain is what the model reaches there, after each step. */
export const sameReach = check('property', 'properties/same-reach.ts', 'firstDifference');
/** Every call that a domain gets is one that the step must make. */
export const rightCalls = check('property', 'properties/calls.ts', 'wrongCalls');
/** Areas are where the model has them. */
export const sameAreas = check('property', 'properties/structure.ts', 'wrongAreas');
/** Every answer is that of the model. */
export const sameAnswer = check('property', 'properties/perform.ts', 'wrongAnswer');
export const everyInterleaving = check('property', 'properties/races/judge.ts', 'judge');
export const everyFault = check('property', 'test/unit/iommufd-faults.test.ts', 'CASES');
export const auditFile = check('audit', AUDIT, 'auditFile');
export const auditImport = check('audit', AUDIT, 'auditImport');
export const auditReferences = check('audit', AUDIT, 'auditReferences');
export const auditPlace = check('audit', 'impl/iommufd/audit.ts', 'auditPlace');
export const auditSpace = check('audit', 'impl/iommufd/audit.ts', 'auditSpace');

/** The tests of a file, by their titles. */
export const unit =
  (name: string) =>
  (title: string, ...of: readonly string[]): Test =>
    test(`test/unit/${name}.test.ts`, title, ...of);

export const scenario = unit('iommufd-scenarios');
export const lifetime = unit('iommufd-lifetime');
export const raceWithRevoke = unit('interleave-revoke');
export const raceOfMaps = unit('interleave-map');
export const predicateTest = unit('invariants');
export const auditTest = unit('audit');
export const splatTest = unit('iommufd-splats');
export const revokeTest = unit('iommufd-revoke');
export const subpage = unit('iommufd-subpage');
export const mmio = unit('iommufd-mmio');
export const domainTest = unit('iommu-domain');
export const unpinTest = unit('iommufd-unpin');
export const objects = unit('iommufd-objects');
export const attachTest = unit('iommufd-attach');
export const exporterTest = unit('iommufd-exporter');
export const placement = unit('iommufd-placement');
export const lockTable = unit('lock-table');
export const lockdepTest = unit('kernel-lockdep');
export const pageTable = unit('iommu-page-table');
export const allowTest = unit('iommufd-allow-iovas');
export const optionTest = unit('iommufd-option');
export const splitTest = unit('iommufd-split');
export const container = unit('vfio-compat');
export const accounting = unit('iommufd-accounting');
export const NO_LIMIT =
  'I-78: a buffer is mapped, copied and attached to with a limit of nothing, and nobody is charged';
export const accessObjects = unit('access-objects');
export const pinRefusals = unit('access-refusals');
export const raceForNumber = unit('interleave-number');

export const STRUCTURES = 'test/properties/uapi.test.ts';
export const structures = (title: string, ...of: readonly string[]): Test => test(STRUCTURES, title, ...of);

/** What ALLOW_IOVAS refuses. */
export const allowRefused = (ranges: string, answer: string): Test =>
  allowTest(
    `ALLOW_IOVAS is ${answer} for ${ranges}, and then the old set stays`,
    'ALLOW_IOVAS is',
    '%s for %s, and then the old set stays',
    ranges,
  );

/** What a pin is refused for. */
export const refusedPin = (of: string): Test =>
  pinRefusals(`is refused, and leaves nothing pinned a pin of ${of} (I-85)`, 'a pin of %s (I-85)', of);

const STOPPED = 'is stopped by what it may not touch, after what lies before';
/** What one of those who read and write may not touch. */
export const rwTest = (who: string): Test => test('test/unit/access-rw.test.ts', `${who} ${STOPPED}`, who, STOPPED);

const OF_PINNED = 'UNMAP of what accesses have pinned';
export const accessUnmap = (title: string): Test =>
  test('test/unit/access-unmap.test.ts', `${OF_PINNED} ${title}`, OF_PINNED, title);

/** A row of the table of errnos: the command, and the rule that it violates. */
export const refused = (command: string, rule: string): Test =>
  test(
    'test/unit/iommufd-errors.test.ts',
    `${command} refuses, before it looks at the next, ${rule}`,
    '%s refuses, before it looks at the next,',
    command,
    rule,
  );
export const errors = unit('iommufd-errors');

/** A row of the table of fault points. */
export const faults = (name: string): Test =>
  test(
    'test/unit/iommufd-faults.test.ts',
    `${name}: at every fault point, leaves all as it was, and then succeeds`,
    '%s: at every fault point, leaves all as it was, and then succeeds',
    name,
  );

const ENDS = 'ends in all the ways that are allowed, and in no other';
/** A race of iommufd by its number, which stands in that table. */
export const race = (id: string, inTable: string): Test => ({
  file: 'test/properties/document-races.test.ts',
  title: `iommufd-${id} ${ENDS}`,
  of: [`$name ${ENDS}`, `id: '${id}'`],
  table: `properties/races/tables/iommufd-${inTable}.ts`,
});

/** A race with an access. */
export const raceWithAccess = (name: string, atLeast: number): Test =>
  test(
    'test/unit/interleave-access.test.ts',
    `${name}, in every such interleaving (more than ${atLeast})`,
    '%s, in every such interleaving (more than %i)',
    name,
  );

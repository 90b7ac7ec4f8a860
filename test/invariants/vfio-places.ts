/** Files, checks and tests that many rows about vfio's buffers name. */
import { auditTest, unit } from './places.ts';
import { check, edit, proof, type Test, test } from './row.ts';

export const EXPORT = 'impl/vfio/pci-dmabuf.ts';
export const RANGES = 'impl/vfio/pci-dmabuf-ranges.ts';
export const LIST = 'impl/vfio/pci-dmabuf-list.ts';
export const TOKEN = 'impl/vfio/pci-dmabuf-token.ts';
export const REVOKE = 'impl/vfio/pci-dmabuf-revoke.ts';
export const CONFIG = 'impl/vfio/config-space.ts';
export const POWER = 'impl/vfio/power.ts';
export const RESET = 'impl/vfio/reset.ts';
export const HOT_RESET = 'impl/vfio/hot-reset.ts';
export const MEMBER = 'impl/vfio/hot-reset-member.ts';
export const DEVICE = 'impl/vfio/pci-device.ts';
export const BARS = 'impl/vfio/bar-mapping.ts';
export const ATTACHMENT = 'impl/dmabuf/attachment.ts';
export const FEATURE = 'impl/uapi/vfio-feature.ts';

/** The ghost, which the last column of the trigger table alone changes. */
export const ghost = check('model rule', 'properties/triggers/oracle.ts', 'expect');
/** What holds between any two steps of a random sequence of triggers. */
export const rules = check('property', 'properties/triggers/rules.ts', 'RULES');
export const auditDevices = check('audit', 'impl/vfio/audit.ts', 'auditDevices');
export const states = check('type', 'impl/vfio/pci-dmabuf-status.ts', 'transition');

export const sequences = test(
  'test/properties/triggers.test.ts',
  'buffers are revoked when the trigger table says so, in random sequences, and the rules hold',
);

const TRIGGERS = 'test/unit/vfio-triggers.test.ts';
/** A row of the trigger table, by what it promises. */
export const trigger = (promise: string, ...of: readonly string[]): Test => ({
  ...test(TRIGGERS, `trigger ${promise}`, 'trigger', ...(of.length === 0 ? [promise] : of)),
  table: 'test/unit/trigger-rows.ts',
});
export const resetTrigger = (promise: string): Test => ({
  ...trigger(promise),
  table: 'test/unit/trigger-rows-reset.ts',
});
export const cornerCase = (id: string, promise: string): Test => ({
  ...test(TRIGGERS, `corner case ${id}: ${promise}`, 'corner case', `'${id}'`, promise),
  table: 'test/unit/corner-cases.ts',
});

/** A check of an export by its bytes, alone. */
export const exportCheck = (row: string, what: string, answer: string): Test =>
  test(
    'test/unit/uapi-export.test.ts',
    `an export (${row}) when ${what}, answers ${answer}, and leaves nothing`,
    '(%s) when %s, answers %s, and leaves nothing',
    row,
    what,
  );

/** Two checks of an export, of which the first answers. */
export const exportPair = (
  first: readonly [row: string, what: string, answer: string],
  then: readonly string[],
): Test =>
  test(
    'test/unit/uapi-export.test.ts',
    `an export (${first[0]} before) when ${first[1]}, and (${then[0]}) ${then[1]} too, answers the first: ${first[2]}`,
    '(%s before) when %s, and (%s) %s too, answers the first: %s',
    first[1],
    ...then,
  );

const SIZES = 'sizes, for a BAR of 16 MiB';
export const exportSize = (what: string, answer: string): Test =>
  test(
    'test/unit/vfio-export.test.ts',
    `${SIZES} an export of ${what} answers ${answer}`,
    SIZES,
    'an export of %s answers %s',
    what,
  );

const inUnit =
  (name: string, subject: string) =>
  (title: string, ...of: readonly string[]): Test =>
    test(`test/unit/${name}.test.ts`, `${subject} ${title}`, subject, ...(of.length === 0 ? [title] : of));

export const newBuffer = inUnit('vfio-export', 'a new buffer');
export const endOfBuffer = inUnit('vfio-export', 'the end of a buffer');
export const waits = inUnit('vfio-revoke', 'a revoke waits');
export const token = inUnit('vfio-revoke', 'the drain token');
export const callbacks = inUnit('vfio-revoke', 'callbacks');
export const attachTest = inUnit('vfio-importer', 'attach');
export const mapTest = inUnit('vfio-importer', 'map');
export const interconnect = (of: string, answer: string): Test =>
  test(
    'test/unit/vfio-importer.test.ts',
    `the private interconnect for a buffer ${of} answers ${answer}`,
    'the private interconnect',
    'for a buffer %s answers %s',
    of,
  );
export const move = inUnit('vfio-cleanup', 'move');
export const closing = inUnit('vfio-cleanup', 'closing the device');

const FOUR = 'hot reset of four members';
/** A hot reset with trouble at one place. */
export const hotReset = (place: string, trouble: string, answer: string): Test =>
  test(
    'test/unit/vfio-hot-reset.test.ts',
    `${FOUR} of which the ${place} has this: ${trouble}: ${answer}, and every other is as it was`,
    FOUR,
    'of which the %s has this: %s: %s, and every other is as it was',
    trouble,
  );

/** What a trigger leaves of the CPU's entries. */
export const entries = (what: string): Test =>
  test('test/unit/vfio-mmap.test.ts', `the entries of a BAR after ${what}`, 'the entries of a BAR', 'after %s', what);

/** A test of the unmerged series' own test program. */
export const series = unit('vfio-mmap-series');
export const forGood = (title: string, ...of: readonly string[]): Test =>
  unit('permanent-revoke')(`a revoke for good ${title}`, ...(of.length === 0 ? ['a revoke for good', title] : of));
export const atOnce = (what: string): Test => unit('interleave-buffers')(`at once ${what}`, 'at once', what);

export const inTable = check('refusal', 'impl/vfio/pci-dmabuf-status.ts', 'transition');
export const auditMappings = check('audit', 'impl/vfio/audit.ts', 'auditBufferMappings');
export const racesAtOnce = check('property', 'test/unit/interleave-buffers.test.ts', 'RACES');

/** It stands for what registrations hold, and for what waits for them. */
export const registrationsMiscounted = proof(
  'the audit minds only a registration too few',
  edit(
    'impl/vfio/audit.ts',
    'device.registration.count !== registrations',
    'device.registration.count < registrations',
  ),
  auditTest('a registration too many is said', '%s is said', 'a registration too many'),
);

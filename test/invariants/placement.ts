/** Where an area goes: I-46 to I-48. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const fixed = check('refusal', 'impl/iommufd/placement.ts', 'checkIova');
const PLACEMENT = 'impl/iommufd/placement.ts';

export const placements: readonly Row[] = [
  {
    id: 'I-46',
    says: 'An automatic IOVA is free, allowed and aligned; ENOSPC means that no hole would do.',
    checks: [
      check('model rule', 'model/iova.ts', 'misplaced'),
      check('property', 'test/unit/iommufd-placement.test.ts', 'naive'),
    ],
    proofs: [
      proof(
        'an IOVA may be the last byte of its hole',
        edit(
          PLACEMENT,
          'return less(iova, last) && atMost(tail, sub(last, iova)) ? iova : undefined;',
          'return atMost(tail, sub(last, iova)) ? iova : undefined;',
        ),
        at.placement(
          "the examples of 2.8 address 139637978824704n, length 1n, in 'a hole of one byte'",
          'the examples of 2.8',
          'address %o, length %o, in %o',
          'a hole of one byte',
        ),
      ),
      proof(
        'what is allowed is forgotten',
        edit(PLACEMENT, 'if (allowed.size === 0) return EVERYTHING;', 'return EVERYTHING;'),
        at.placement(
          'automatic placement gives nothing outside of what is allowed',
          'automatic placement gives %s',
          'nothing outside of what is allowed',
        ),
      ),
    ],
  },
  {
    id: 'I-47',
    says: 'A fixed IOVA is refused for its length, alignment, a wrap, what is reserved and an area, in this order.',
    checks: [fixed, check('model rule', 'model/iova.ts', 'clash')],
    proofs: [
      proof(
        'areas are looked at before what is reserved',
        edit(
          PLACEMENT,
          `  if (iopt.reserved.first(iova, last) !== undefined) return 'EINVAL';
  if (iopt.areas.first(iova, last) !== undefined) return 'EEXIST';`,
          `  if (iopt.areas.first(iova, last) !== undefined) return 'EEXIST';
  if (iopt.reserved.first(iova, last) !== undefined) return 'EINVAL';`,
        ),
        at.refused('MAP (I-47)', 'reserved and occupied'),
      ),
      proof(
        'the wrap is looked at before the alignment',
        edit(
          PLACEMENT,
          `  if (!isAligned(iova, iopt.alignment)) return 'EINVAL';
  const last = lastOf(iova, length);
  if (last === undefined) return 'EOVERFLOW';`,
          `  const last = lastOf(iova, length);
  if (last === undefined) return 'EOVERFLOW';
  if (!isAligned(iova, iopt.alignment)) return 'EINVAL';`,
        ),
        at.refused('MAP (I-47)', 'unaligned IOVA, which would wrap'),
      ),
    ],
  },
  {
    id: 'I-48',
    says: 'ALLOW_IOVAS replaces the whole set, or leaves it as it was.',
    checks: [
      check('refusal', at.IOPT, 'setAllowed'),
      check('model rule', 'model/spaces.ts', 'allowIovas'),
      at.sameAnswer,
    ],
    proofs: [
      proof(
        'a set that is refused is there all the same',
        edit(
          at.IOPT,
          '      for (const { start, last } of this.reserved.all()) {\n        if (allowed',
          `      this.allowed = allowed;
      for (const { start, last } of this.reserved.all()) {
        if (allowed`,
        ),
        at.allowRefused('a good range and one beyond the aperture', 'EADDRINUSE'),
      ),
      proof(
        'ranges are added to those that there are',
        edit(
          at.IOPT,
          '      this.allowed = allowed;\n',
          '      for (const { start, last } of allowed.all()) this.allowed.insert(new Allowed(start, last));\n',
        ),
        at.allowTest(
          'ALLOW_IOVAS is ok for two bytes, and replaces the whole set',
          'ALLOW_IOVAS is',
          'ok for %s, and replaces the whole set',
          'two bytes',
        ),
      ),
      proof(
        'a set that cannot be read is empty',
        edit(
          'impl/iommufd/allow-iovas.ts',
          '    const allowed = loadIovas(ranges);\n',
          '    const allowed = loadIovas(ranges);\n    if (isErrno(allowed)) ioas.iopt.allowed = new IntervalTree();\n',
        ),
        at.allowTest('ALLOW_IOVAS with an allocation failing for each range in turn keeps the old set'),
      ),
    ],
  },
];

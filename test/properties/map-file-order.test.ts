/**
 * Which of several mistakes MAP_FILE reports: a table of its own, row by row, against the call by its bytes.
 *
 * Source: iommufd I-82, I-47
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { toBigint } from '../../impl/kernel/units.ts';
import { IOMMU_IOAS_MAP_FILE } from '../../impl/uapi/iommufd-structs.ts';
import { A } from '../unit/iommufd-rig.ts';
import { n, RawRig } from '../unit/raw-rig.ts';

const P = 0x1000n;
const MAX = 2n ** 64n - 1n;
const SIZE = 4n * P;
/** dev0 reserves from here on. */
const RESERVED = 0xfee0_0000n;
const OCCUPIED = A;
const FREE = A + 0x10000n;

interface Args {
  readonly flags: number;
  readonly ioas: 'there' | 'a number of nobody' | 'a device' | 'a table';
  readonly fd: 'good' | 'revoked' | 'two ranges' | 'closed' | 'negative';
  readonly start: bigint;
  readonly length: bigint;
  readonly iova: bigint;
}

const fixed = ({ flags }: Args): boolean => (flags & 1) !== 0;
const meets = ({ iova, length }: Args, first: bigint, last: bigint): boolean =>
  iova <= last && first <= iova + length - 1n;

/** The first row that is so decides. */
const ROWS: readonly (readonly [mistake: string, errno: string, so: (args: Args) => boolean])[] = [
  ['an unknown flag', 'EOPNOTSUPP', ({ flags }) => flags > 7],
  ['a number that is too large', 'EOVERFLOW', ({ iova, length }) => iova === MAX || length === MAX],
  ['no permission', 'EINVAL', ({ flags }) => (flags & 6) === 0],
  ['no IOAS', 'ENOENT', ({ ioas }) => ioas !== 'there'],
  ['no length', 'EINVAL', ({ length }) => length === 0n],
  ['an end beyond all offsets', 'EOVERFLOW', ({ start, length }) => start + length - 1n > MAX],
  ['no file', 'EBADF', ({ fd }) => fd === 'closed' || fd === 'negative'],
  ['more than the buffer', 'EINVAL', ({ start, length }) => start + length > SIZE],
  ['a buffer that is taken back', 'ENODEV', ({ fd }) => fd === 'revoked'],
  ['a buffer of two ranges', 'EOPNOTSUPP', ({ fd }) => fd === 'two ranges'],
  ['a length off a page', 'EINVAL', ({ length }) => length % P !== 0n],
  ['an IOVA off a page', 'EINVAL', (it) => fixed(it) && it.iova % P !== 0n],
  ['an end beyond all addresses', 'EOVERFLOW', (it) => fixed(it) && it.iova + it.length - 1n > MAX],
  [
    'a reserved IOVA',
    'EINVAL',
    (it) => fixed(it) && (meets(it, RESERVED, RESERVED + 0xf_ffffn) || meets(it, 2n ** 48n, MAX)),
  ],
  ['an IOVA that is taken', 'EEXIST', (it) => fixed(it) && meets(it, OCCUPIED, OCCUPIED + P - 1n)],
  ['a start off a page', 'EINVAL', ({ start }) => start % P !== 0n],
];

const args: fc.Arbitrary<Args> = fc.record({
  flags: fc.oneof(fc.constantFrom(7, 7, 6, 3, 1, 0), fc.constantFrom(15, 2 ** 31 + 6, 2 ** 32 - 1)),
  ioas: fc.constantFrom('there', 'there', 'there', 'there', 'there', 'a number of nobody', 'a device', 'a table'),
  fd: fc.constantFrom('good', 'good', 'good', 'good', 'revoked', 'two ranges', 'closed', 'negative'),
  start: fc.constantFrom(0n, P, 0n, P, 0x800n, 1n, SIZE - P, SIZE, 2n ** 64n - P, MAX),
  length: fc.constantFrom(P, 2n * P, P, 2n * P, 0x800n, SIZE, SIZE + 1n, 0n, 2n ** 63n, 2n ** 64n - P, MAX),
  iova: fc.constantFrom(
    FREE,
    FREE,
    FREE + P,
    OCCUPIED,
    OCCUPIED - P,
    RESERVED,
    RESERVED - P,
    2n ** 48n - P,
    FREE + 1n,
    2n ** 64n - P,
    MAX,
  ),
});

/** Buffers of four pages: one that is good, one whose device is off, and one in two pieces. */
function scene(): RawRig {
  const rig = new RawRig();
  rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' });
  rig.export('good', [[0n, SIZE]]);
  rig.export('two ranges', [
    [0n, 2n * P],
    [2n * P, 2n * P],
  ]);
  rig.export('revoked', [[0n, SIZE]], 'dev1');
  rig.must({ do: 'vfio_memory', dev: 'dev1', enable: false });
  rig.mapFile({ fd: 'good', length: P, iova: OCCUPIED });
  return rig;
}

test('MAP_FILE reports the first mistake of its table, whatever else is wrong, and changes nothing', () => {
  const rig = scene();
  const ids = {
    there: rig.id(),
    'a number of nobody': 99,
    'a device': rig.devId(),
    'a table': rig.ioas().hwpts[0]?.id ?? 0,
  };
  const fds = {
    good: rig.fd('good'),
    revoked: rig.fd('revoked'),
    'two ranges': rig.fd('two ranges'),
    closed: 99,
    negative: -1,
  };
  const untouched = rig.state(['dev0']);
  const met = new Map<string, number>();
  fc.assert(
    fc.property(args, (it) => {
      const [mistake, errno] = ROWS.find(([, , so]) => so(it)) ?? ['none', 0];
      const { flags, start, length, iova } = it;
      const values = {
        flags,
        ioas_id: ids[it.ioas],
        fd: fds[it.fd],
        start: n(start),
        length: n(length),
        iova: n(iova),
      };
      const { answer, out } = rig.raw(0x3b8f, IOMMU_IOAS_MAP_FILE, values);
      expect(answer, mistake).toBe(errno);
      if (errno === 0) expect(rig.unmap(toBigint(out.iova), length)).toEqual({ ok: { length } });
      met.set(mistake, (met.get(mistake) ?? 0) + 1);
    }),
    { seed: 20261121, numRuns: 20_000 },
  );
  expect(rig.state(['dev0'])).toEqual(untouched);
  for (const [mistake] of [...ROWS, ['none']]) expect(met.get(mistake as string) ?? 0, mistake).toBeGreaterThan(20);
});

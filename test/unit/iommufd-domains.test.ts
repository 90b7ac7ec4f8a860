/**
 * What the domains of an IOAS have in common, what copies share, and what holds a buffer.
 *
 * Source: iommufd 1.3, 2.10, T-44, I-60, I-61, I-65, I-66, I-70, I-71, I-75
 */
import { expect, test } from 'vitest';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, attached, CONFIG, MOCK, mapFileOf, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

const memory: readonly Command[] = [
  { do: 'mem_alloc', as: 'm', length: 0x20000n },
  { do: 'memfd_create', as: 'f', length: 0x10000n },
];

test.each(['7.2', '7.3'])(
  'I-60, I-61: every domain maps the areas of its IOAS, all alike and nothing else, on %s',
  (kernel) => {
    const rig = attached([...memory, { do: 'ioas_alloc', ctx: 'ctx', as: 'other' }], kernel, MOCK);
    const lengths = [
      [rig.mapFile({ start: 0x1800n, length: 0x2800n, iova: A + 0x800n }), 0x2800n],
      [rig.map('m', 0x9000n, { offset: 0x800n, iova: A + 0x10000n, prot: 'r' }), 0x9000n],
      [rig.mapFile({ fd: 'f', start: 0x2000n, length: 0x3000n, iova: A + 0x20000n }), 0x3000n],
      // A part of each, and a whole one; then a domain more, and another after something has gone.
      [rig.copy(A + 0x1000n, 0x1000n, { dst_iova: A + 0x30000n }), 0x1000n],
      [rig.copy(A + 0x11800n, 0x3800n, { dst_iova: A + 0x40000n, prot: 'r' }), 0x3800n],
    ] as const;
    rig.hwpt('early');
    expect(rig.unmap(A + 0x10000n, 0x9000n)).toEqual(removed(0x9000n));
    rig.hwpt('late');
    const total = lengths.reduce((sum, [answer, length]) => ('ok' in answer ? sum + length : sum), -0x9000n);
    const places = ['dev0', 'early', 'late'].map((domain) =>
      rig.reach(domain).map((line) => line.replace(/\+(CACHE|MMIO)$/, '')),
    );
    expect(places[1]).toEqual(places[0]);
    expect(places[2]).toEqual(places[0]);
    const mapped = rig.reach('late').map((line) => BigInt((line.split(' ')[3] as string) ?? 0n));
    expect(mapped.reduce((sum, length) => sum + length, 0n)).toBe(total);
    rig.expectAtRest();
  },
);

/** T-44: sources at every offset that is a multiple of 511; with a domain only some of them are whole. */
test.each<[what: string, config: typeof CONFIG, domain: boolean]>([
  ['no domain', CONFIG, false],
  ['a domain of half pages', MOCK, true],
])(
  'T-44, I-65: COPY of any part that is covered succeeds, as far as %s allows, and of any other is ENOENT',
  (_, config, domain) => {
    const rig = new Rig(config);
    rig.must(...memory, { do: 'ioas_alloc', ctx: 'ctx', as: 'other' });
    if (domain) rig.attach('dev0', 'other');
    const length = 0x10000n;
    rig.map('m', length, { iova: A });
    const answers = new Set<string>();
    for (let iova = A - 0x1000n; iova <= A + length; iova += 511n) {
      const outside = iova < A || iova + 0x800n > A + length;
      const ragged = domain && (iova - A) % 0x800n !== 0n;
      const answer = rig.copy(iova, 0x800n, { dst: 'other', dst_iova: A });
      expect(answer, `0x${iova.toString(16)}`).toEqual(
        outside ? { err: 'ENOENT' } : ragged ? { err: 'EINVAL' } : at(A),
      );
      answers.add('err' in answer ? answer.err : 'ok');
      if ('ok' in answer) expect(rig.unmap(A, 0x800n, 'other')).toEqual(removed(0x800n));
    }
    expect(answers.has('ENOENT')).toBe(true);
    expect(rig.copy(A + 0x800n, 0x800n, { dst: 'other', dst_iova: A })).toEqual(at(A));
    rig.expectAtRest();
  },
);

test('I-66: a copy outlives the area that it was made from, and is revoked like it', () => {
  const rig = attached([mapFileOf()]);
  rig.copy(A + 0x1000n, 0x2000n, { dst_iova: 0x200_0000n });
  expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
  expect(rig.reach('dev0')).toEqual(['0x2000000 -> dev0:2+0x1000 0x2000 RW+CACHE']);
  rig.calls();
  rig.memory(false);
  expect([rig.calls(), rig.reach('dev0')]).toEqual([['unmap ioas 0x2000000 0x2000'], []]);
});

test('I-70, I-71, I-75: each MAP_FILE holds the buffer once, whatever is copied, until its last area is gone', () => {
  const rig = attached([{ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }]);
  const file = rig.machine.fds.lookup(rig.fd('buf'));
  const holds = (): unknown[] => [
    file?.refs.count,
    rig.attachments(),
    rig
      .ioas()
      .iopt.areas.all()
      .map(({ pages }) => pages?.kref.count),
  ];
  const before = file?.refs.count ?? 0;
  rig.mapFile();
  rig.mapFile({ iova: A + 0x4000n });
  expect(holds()).toEqual([before + 2, [2], [1, 1]]);
  // A copy of both, and of a part of the first, elsewhere.
  rig.copy(A, 0x8000n, { dst_iova: 0x200_0000n });
  rig.copy(A, 0x1000n, { dst: 'other', dst_iova: A });
  expect(holds()).toEqual([before + 2, [2], [3, 2, 3, 2]]);
  rig.must({ do: 'fd_close', fd: 'buf' });
  expect(holds()).toEqual([before + 1, [2], [3, 2, 3, 2]]);
  expect(rig.reach('dev0')).toHaveLength(4);
  expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0x10000n));
  expect(holds()).toEqual([before, [1], []]);
  expect(rig.unmap(A, 0x1000n, 'other')).toEqual(removed(0x1000n));
  expect(rig.attachments()).toEqual([]);
  rig.expectAtRest();
});

test('1.5: only EINVAL makes an attach try the next automatic domain, and none allocated by hand is tried', () => {
  const rig = attached([{ do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hand' }]);
  const before = rig.state(['dev0', 'hand']);
  rig.machine.kernel.faults.arm(1, 'iommu_attach_group');
  expect(rig.attach('dev1')).toEqual({ err: 'ENOMEM' });
  rig.machine.kernel.faults.disarm();
  expect(rig.state(['dev0', 'hand'])).toEqual(before);
  expect(rig.attach('dev1')).toEqual(OK);
  expect(rig.domain('dev1')).toBe(rig.domain('dev0'));
  expect(rig.domain('dev1').translate(fromBigint(A))).toBe(undefined);
});

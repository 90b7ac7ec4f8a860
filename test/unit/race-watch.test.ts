/**
 * What must hold in the middle of a race, the four invariants above all: a driver breaks it for the length of a step,
 * and puts everything right before it returns, so that nobody who looks at the end alone can tell.
 */
import { expect, test } from 'vitest';
import { RandomWalk } from '../../explore/random-walk.ts';
import type { Domain } from '../../impl/iommu/domain.ts';
import { IOMMU_CACHE, IOMMU_MMIO, IOMMU_READ, IOMMU_WRITE } from '../../impl/iommu/prot.ts';
import { USER_PAGES } from '../../impl/kernel/mm.ts';
import { PAGE_SHARED } from '../../impl/kernel/pgprot.ts';
import { preempt, type Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, PAGE_SIZE, type PhysAddr } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import { invariants } from '../../model/invariants.ts';
import { end, type Step } from '../../properties/races/race.ts';
import { Search } from '../../properties/races/search.ts';
import { A, BYTE, MAPPED, OFF } from '../../properties/races/steps.ts';
import { CaseTrial } from '../../properties/races/trial.ts';

const IOVA = fromBigint(A);
const LENGTH = 0x4000;
const DEVICE = IOMMU_READ | IOMMU_WRITE | IOMMU_MMIO;

/** Others may look after the first half; the second puts things right. */
type Wrong = (domain: Domain, bar: PhysAddr) => () => void;

/** The area is another one for a moment. */
const remapped =
  (offset: number, prot: number): Wrong =>
  (domain, bar) => {
    domain.unmap(IOVA, LENGTH);
    domain.map(IOVA, bar + offset, LENGTH, prot);
    return () => {
      domain.unmap(IOVA, LENGTH);
      domain.map(IOVA, bar, LENGTH, DEVICE);
    };
  };

const WRONG: readonly (readonly [name: string, before: readonly Step[], wrong: Wrong, why: string])[] = [
  [
    'never mapped while revoked',
    [...MAPPED, OFF],
    (domain, bar) => {
      domain.map(IOVA, bar, LENGTH, DEVICE);
      return () => domain.unmap(IOVA, LENGTH);
    },
    `${BYTE} is mapped, but its owner has taken it back`,
  ],
  [
    'no double unmap',
    MAPPED,
    // A driver that only warns where ours splats.
    (domain) => {
      domain.iommu.calls.push({ op: 'unmap', domain, iova: IOVA, length: 0, asked: LENGTH });
      return () => {};
    },
    '0x0 of 0x4000 bytes were there to be unmapped',
  ],
  [
    'one MMIO range',
    MAPPED,
    remapped(0, IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE),
    `${BYTE} is device memory, but not mapped as such`,
  ],
  ['sub-page offsets correct', MAPPED, remapped(0x1000, DEVICE), `reaches dev0:2+0x1000, not ${BYTE}`],
];

/** Kernel code that is wrong between two of its steps: the second half of it puts things right. */
const driver = (wrong: (machine: Machine) => () => void) =>
  function* (machine: Machine): Thread<string> {
    const putRight = wrong(machine);
    yield preempt;
    putRight();
    return 'ok';
  };

/** What is told of a driver in this state. */
function told(before: readonly Step[], wrong: (machine: Machine) => () => void): unknown {
  const actors = [{ do: 'code', as: 'driver', thread: driver(wrong) } as const];
  const one = { from: 'mapped', before, actors, ends: [end('ok', '')] };
  return new Search(new CaseTrial(one, 'a test', { whole: false }), new RandomWalk(1)).run(1);
}

/** Where BAR 2 of dev0 lies. */
const barOf = ({ devices }: Machine): PhysAddr => devices.get('dev0')!.dmabufs[0]!.physVec[0]!.paddr;

test('every invariant of the model is broken by one of the drivers', () => {
  expect(WRONG.map(([name]) => name)).toEqual(invariants.map(({ name }) => name));
});

test.each(WRONG)('%s: broken between two steps of a driver, and told then', (name, before, wrong, why) => {
  const failure = told(before, (machine) => wrong(machine.domainOf('dev1') as Domain, barOf(machine)));
  const what = `after a step of driver: domain ioas, IOVA 0x1000000: ${why}`;
  expect(failure).toMatchObject({ kind: name, what });
});

test('an entry of a BAR that is off is told, also where no mapping of a file leads to it', () => {
  const failure = told([...MAPPED, OFF], (machine) => {
    const { pageTable } = machine.mm;
    pageTable.insert({ page: 1, pfn: barOf(machine) / PAGE_SIZE, order: 0, prot: PAGE_SHARED });
    return () => {
      pageTable.zap(1, 1);
      pageTable.freeTables(0, USER_PAGES - 1);
    };
  });
  const what = 'after a step of driver: a CPU reaches a BAR of dev0, which is off';
  expect(failure).toMatchObject({ kind: 'never mapped while revoked', what });
});

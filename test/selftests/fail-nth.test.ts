/**
 * The kernel's program `iommufd_fail_nth`: a sequence is run again and again, with its n-th fault point failing, until
 * a run meets none. Whatever it answers, nothing may splat, and after close nothing may be left.
 *
 * Source: iommufd 6.4 (T-80 to T-86)
 */
import { expect, test } from 'vitest';
import { ACCESS_RW_SLOW_PATH, ACCESS_RW_WRITE } from '../../impl/iommufd/access-rw.ts';
import { type MockAccess, mockAccessRw } from '../../impl/iommufd/mock-access.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { H, P, Selftest } from './rig.ts';

/** The global buffer of this program, and its memfd. */
const LENGTH = H;
const KIB = 1024n;
/** What accesses pin of it: a small part, since every page is a fault point of its own. */
const PINNED = 64n * KIB;

/** A step fails with an errno, and ends the run. */
class Failed extends Error {}

/** One run: the world, and what is still to be closed at its end. */
class Run {
  readonly it = new Selftest();
  readonly #accesses: MockAccess[] = [];

  constructor() {
    this.it.allocate('big', LENGTH);
    this.it.must({ do: 'memfd_create', as: 'file', length: LENGTH });
  }

  must<T>(answer: T): Exclude<T, string> {
    const failed = isErrno(answer) || (answer instanceof Object && 'err' in answer);
    if (failed) throw new Failed(JSON.stringify(answer));
    return answer as Exclude<T, string>;
  }

  do(command: Command): Result {
    return this.must(this.it.do(command));
  }

  attach(): string {
    this.must(this.it.tryAtt());
    return [...this.it.machine.mocks.keys()].at(-1) as string;
  }

  map(length: bigint): bigint {
    const answer = this.must(this.it.map('big', length));
    return 'ok' in answer ? (answer.ok.iova ?? 0n) : 0n;
  }

  access(flags: number): MockAccess {
    const mock = this.must(this.it.tryCreate('ioas', flags));
    this.#accesses.push(mock as MockAccess);
    return mock as MockAccess;
  }

  /** Close everything; all pins are gone, and nobody holds anything. */
  end(): void {
    const { it } = this;
    for (const mock of this.#accesses.splice(0)) it.close(mock);
    it.teardown();
    expect(it.machine.mm.pinnedVm).toBe(0);
    expect(it.machine.kernel.live.pages.size).toBe(0);
  }

  closed(mock: MockAccess): void {
    this.#accesses.splice(this.#accesses.indexOf(mock), 1);
    this.it.close(mock);
  }
}

interface Case {
  readonly name: string;
  /** What is not made to fail. */
  readonly before?: (run: Run) => void;
  readonly sequence: (run: Run) => void;
  /** Each of these has failed, and no other is there. */
  readonly points: readonly string[];
}

const MAP = ['iopt_alloc_pages', 'iopt_area_alloc'];
const DOMAIN = [
  'iommufd_get_group',
  'iommufd_hw_pagetable_attach',
  'iommu_alloc_pages',
  'iommu_attach_group',
  'iommu_map',
  'iommu_paging_domain_alloc',
  'iommufd_device_bind',
  'iommufd_object_alloc',
  'iopt_reserve_iova',
  'iopt_table_add_domain',
];
const FILL = ['batch_init', 'do_update_pinned'];
const USER = 'pin_user_pages';
const PIN = ['iopt_add_access', 'iopt_area_add_access', 'mock_access_item', 'pages_to_xarray', USER];

/** Maps a quarter of a megabyte of memory, or of a file, between two attaches. */
const mapDomain = (map: (run: Run) => unknown) => (run: Run) => {
  const dev = run.attach();
  map(run);
  run.it.detach(dev);
  run.attach();
};

const accessPin = (domain: boolean) => (run: Run) => {
  const dev = domain ? run.attach() : undefined;
  const iova = run.map(PINNED);
  const mock = run.access(1);
  const id = run.must(run.it.pin(mock, iova, PINNED));
  run.must(run.it.unpin(mock, id));
  run.closed(mock);
  if (dev !== undefined) run.it.detach(dev);
};

const CASES: readonly Case[] = [
  {
    name: 'basic_fail_nth: ranges, what is allowed, map, copy, unmap, unmap again',
    sequence: (run) => {
      run.do({ do: 'ioas_alloc', ctx: 'ctx', as: 'i' });
      run.do({ do: 'ioas_iova_ranges', ioas: 'i' });
      run.do({ do: 'ioas_allow_iovas', ioas: 'i', ranges: [[16n * KIB, 11_696n * KIB - 1n]] });
      const map: Command = { do: 'ioas_map', ioas: 'i', mem: 'big', offset: 0n, length: LENGTH, prot: 'rw' };
      const answer = run.do(map);
      const iova = 'ok' in answer ? (answer.ok.iova ?? 0n) : 0n;
      run.do({ do: 'ioas_copy', dst: 'i', src: 'i', src_iova: iova, length: 160n, prot: 'rw' });
      const unmap: Command = { do: 'ioas_unmap', ioas: 'i', iova, length: LENGTH };
      run.do(unmap);
      run.it.do(unmap);
    },
    points: ['iommufd_ioas_load_iovas', 'iommufd_object_alloc', 'iopt_get_pages', ...MAP],
  },
  { name: 'map_domain', sequence: mapDomain((run) => run.map(256n * KIB)), points: [...MAP, ...DOMAIN, ...FILL, USER] },
  {
    name: 'map_file_domain',
    sequence: mapDomain((run) => run.must(run.it.mapFileAt('file', 0n, 256n * KIB))),
    points: [...MAP, ...DOMAIN, ...FILL, 'memfd_pin_folios'],
  },
  {
    name: 'map_two_domains, of which the first is not made to fail',
    before: (run) => run.attach(),
    sequence: (run) => {
      const second = run.attach();
      run.map(256n * KIB);
      for (const dev of [second, 'md0']) run.it.detach(dev);
      run.attach();
      run.attach();
    },
    points: [...MAP, ...DOMAIN, ...FILL, USER],
  },
  {
    name: 'access_rw: by the process, and by the slow path',
    sequence: (run) => {
      const iova = run.map(LENGTH);
      const mock = run.access(0);
      const move = (length: number, flags: number): void => {
        const data = new Uint8Array(length);
        run.must(run.it.call(mockAccessRw(mock, fromBigint(iova), data, flags, run.it.machine.mm)));
      };
      for (const flags of [0, ACCESS_RW_WRITE]) move(256, flags);
      for (const flags of [0, ACCESS_RW_WRITE]) move(256, flags | ACCESS_RW_SLOW_PATH);
      move(32 * 1024, ACCESS_RW_SLOW_PATH);
    },
    points: ['batch_init', 'iommufd_object_alloc', 'iopt_add_access', 'iopt_pages_rw_page', ...MAP, USER],
  },
  { name: 'access_pin', sequence: accessPin(false), points: ['iommufd_object_alloc', ...MAP, ...FILL, ...PIN] },
  { name: 'access_pin_domain', sequence: accessPin(true), points: [...MAP, ...DOMAIN, ...FILL, ...PIN] },
  {
    name: 'device: two IOASes with a page each, a HWPT, and a device that goes from one to the other',
    sequence: (run) => {
      run.do({ do: 'ioas_alloc', ctx: 'ctx', as: 'second' });
      for (const ioas of ['ioas', 'second'])
        run.do({ do: 'ioas_map', ioas, mem: 'big', offset: 0n, length: P, prot: 'rw', iova: 0x100_0000n });
      const dev = run.attach();
      run.do({ do: 'hwpt_alloc', dev, ioas: 'second', as: 'h2' });
      run.must(run.it.replaceDevice(dev, 'second'));
      run.must(run.it.replaceDevice(dev, 'h2'));
    },
    points: [...MAP, ...DOMAIN, ...FILL, USER, 'iommu_group_replace_domain'],
  },
];

/** The kernel's own test makes allocations fail, and no copies. */
const counts = (site: string): boolean => !site.startsWith('copy_');

test.each(CASES.map((each) => [each.name, each] as const))(
  'iommufd_fail_nth.%s: whichever fault point fails, nothing splats and nothing is left',
  (_, { before, sequence, points }) => {
    const sites = new Set<string>();
    for (let nth = 1; ; nth++) {
      const run = new Run();
      before?.(run);
      const { faults } = run.it.machine.kernel;
      faults.arm(nth, counts);
      let failed: unknown;
      try {
        sequence(run);
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        failed = error;
      }
      const { fired } = faults;
      faults.disarm();
      run.end();
      if (!fired) {
        expect(failed).toBeUndefined();
        break;
      }
      sites.add(faults.passed.filter(counts)[nth - 1] as string);
    }
    expect([...sites].toSorted()).toEqual(points.toSorted());
  },
);

/**
 * The two promises on which a revoke rests: nobody's locks but the exporter's and those of the pages are in its way,
 * and every pair of area and domain is tracked for as long as it may be mapped.
 *
 * Source: iommufd 3.5, 3.6, I-04, I-17
 */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { interleave } from '../../explore/interleave.ts';
import { Domain } from '../../impl/iommu/domain.ts';
import { LOCK_CLASSES, type LockClass } from '../../impl/kernel/lockdep.ts';
import type { U64 } from '../../impl/kernel/units.ts';
import { copy, hwpt, OFF, unmap } from '../../properties/races/steps.ts';
import type { Command } from '../../trace/command.ts';
import { attached, mapFileOf, type Rig } from './iommufd-rig.ts';

const detach: Command = { do: 'vfio_detach', dev: 'dev0' };
const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const destroy: Command = { do: 'destroy', obj: 'hwpt' };
const mapAgain: Command = { ...mapFileOf(), iova: 0x200_0000n };

const mappedTwice = (): Rig => attached([hwpt('hwpt'), mapFileOf()]);

/** The locks of which the revoke needs its turn. */
const ITS_OWN: readonly LockClass[] = ['dma_resv', 'pages.mutex/dmabuf'];

/**
 * Let `command` stop for the `stop`-th time, and then the revoke run as far as it gets; what the command held
 * meanwhile, and whether the revoke returned. Undefined when the command has ended before.
 */
function revokeAt(stop: number, rig: Rig, command: Command): { held: LockClass[]; returned: boolean } | undefined {
  const [first, second] = [command, OFF].map((each) => rig.machine.start(each.do, each));
  let steps = 0;
  let held: LockClass[] | undefined;
  let returned: boolean | undefined;
  const choose = (): number => {
    if (steps < stop || held !== undefined) return 0;
    held = first!.task.held.map(({ classId }) => LOCK_CLASSES[classId] as LockClass);
    return 1;
  };
  interleave([first!, second!], choose, ({ task, wants }) => {
    if (task === first!.task) {
      steps++;
      // It is its turn again, so the revoke has to wait for it.
      if (held !== undefined) returned ??= false;
    } else if (wants === undefined) {
      returned ??= held !== undefined;
    }
  });
  return held && { held, returned: returned === true };
}

test.each<[name: string, world: () => Rig, command: Command, passed: readonly LockClass[]]>([
  ['MAP_FILE', () => attached(), mapFileOf(), ['domains_rwsem']],
  ['UNMAP', mappedTwice, unmap(), ['domains_rwsem']],
  ['COPY', mappedTwice, copy(), ['domains_rwsem']],
  ['HWPT_ALLOC', mappedTwice, hwpt('late'), ['ioas.mutex', 'domains_rwsem', 'iova_rwsem']],
  ['DESTROY of a HWPT', mappedTwice, destroy, ['domains_rwsem', 'iova_rwsem']],
  ['attach', () => attached([mapFileOf(), detach]), attach, ['ioas.mutex', 'igroup.lock', 'iova_rwsem']],
])(
  'a revoke returns wherever %s has stopped, unless that has dma_resv or the mutex of the pages',
  (_, world, command, passed) => {
    const seen = new Set<LockClass>();
    for (let stop = 1; ; stop++) {
      const met = revokeAt(stop, world(), command);
      if (met === undefined) break;
      const { held, returned } = met;
      expect(returned, `with ${held.join(', ')} held`).toBe(!held.some((lock) => ITS_OWN.includes(lock)));
      if (returned) for (const lock of held) seen.add(lock);
    }
    expect(passed.filter((lock) => !seen.has(lock))).toEqual([]);
  },
);

test('a revoke passes no point at which an allocation could fail', () => {
  const rig = mappedTwice();
  rig.must(copy());
  const { faults } = rig.machine.kernel;
  faults.arm(Number.MAX_SAFE_INTEGER);
  rig.memory(false);
  // That the device can be told to is another matter.
  expect(faults.passed.filter((site) => !/^(copy_from_user|pci_user_(read|write)_config_word)$/.test(site))).toEqual(
    [],
  );
  expect(rig.calls().filter((call) => call.startsWith('unmap'))).toHaveLength(4);
});

describe('a domain is tracked before it maps a buffer, and until it has unmapped it,', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** Watch the calls of all domains: for each, whether the area there was tracked for the domain at that moment. */
  function watch(rig: Rig): [call: string, tracked: boolean | undefined][] {
    const seen: [string, boolean | undefined][] = [];
    const note = (op: string, domain: Domain, iova: U64): void => {
      const area = rig.ioas().iopt.areas.first(iova, iova);
      seen.push([`${op} ${domain.name}`, area?.tracked.includes(domain)]);
    };
    const { map, unmap: unmapRight } = Domain.prototype;
    vi.spyOn(Domain.prototype, 'map').mockImplementation(function (this: Domain, iova, phys, length, prot) {
      note('map', this, iova);
      return map.call(this, iova, phys, length, prot);
    });
    vi.spyOn(Domain.prototype, 'unmap').mockImplementation(function (this: Domain, iova, length) {
      note('unmap', this, iova);
      unmapRight.call(this, iova, length);
    });
    return seen;
  }

  test.each<[name: string, command: Command, calls: readonly string[], fault?: string]>([
    ['in MAP_FILE', mapAgain, ['map ioas', 'map hwpt']],
    ['in MAP_FILE that fails', mapAgain, ['map ioas', 'map hwpt', 'unmap ioas'], 'iommu_map'],
    ['in COPY', copy(), ['map ioas', 'map hwpt']],
    ['in HWPT_ALLOC', hwpt('late'), ['map late']],
    ['in UNMAP', unmap(), ['unmap hwpt', 'unmap ioas']],
    ['in DESTROY of a HWPT', destroy, ['unmap hwpt']],
    ['in detach', detach, ['unmap ioas']],
    ['in a revoke', OFF, ['unmap hwpt', 'unmap ioas']],
    ['in DESTROY of the last domain', { do: 'vfio_close', dev: 'dev0' }, ['unmap hwpt', 'unmap ioas']],
  ])('%s', (_, command, calls, fault) => {
    const rig = mappedTwice();
    const { faults } = rig.machine.kernel;
    if (fault !== undefined) faults.arm(2, fault);
    const seen = watch(rig);
    rig.do(command);
    expect(seen.filter(([, tracked]) => tracked !== true)).toEqual([]);
    expect(seen.map(([call]) => call).toSorted()).toEqual(calls.toSorted());
    expect(faults.fired).toBe(true);
  });
});

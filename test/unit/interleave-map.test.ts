/** How a new domain treats memory that is mapped meanwhile, in every interleaving there is. Source: iommufd 4.5 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import { hwpt } from '../../properties/races/steps.ts';
import { attached, mapFileOf } from './iommufd-rig.ts';

test.each<[kernel: string, attributes: readonly string[]]>([
  ['7.2', ['RW+CACHE', 'RW+MMIO']],
  ['7.3', ['RW+MMIO']],
])(
  'R12: MAP_FILE and HWPT_ALLOC end with the area once in each domain, in every interleaving, on %s',
  (kernel, seen) => {
    const attributes = new Set<string>();
    const schedules = exhaust((choose) => {
      const rig = attached([], kernel);
      const branches = [mapFileOf(), hwpt('late')].map((command) => rig.machine.start(command.do, command));
      interleave(branches, choose);
      const calls = rig.calls().map((call) => call.split(' '));
      expect(calls.map(([op, domain, iova]) => `${op} ${domain} ${iova}`).toSorted()).toEqual([
        'map ioas 0x1000000',
        'map late 0x1000000',
      ]);
      // 7.2 reads the pages of the second domain back from the first, if MAP_FILE was first (V9).
      attributes.add(rig.reach('late').join().split(' ').at(-1) as string);
      rig.expectAtRest();
    });
    expect([...attributes].toSorted()).toEqual(seen);
    expect(schedules).toBeGreaterThan(100);
  },
);

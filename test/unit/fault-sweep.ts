/** One system call, made to fail at each of its fault points in turn. */
import { expect } from 'vitest';
import type { Command } from '../../trace/command.ts';
import { Rig } from './iommufd-rig.ts';

export interface Case {
  readonly name: string;
  readonly command: Command;
  readonly before?: readonly Command[];
  readonly domains?: readonly string[];
  readonly ioases?: readonly string[];
  readonly sites: readonly string[];
}

function world(before: readonly Command[] = []): Rig {
  const rig = new Rig();
  rig.must(...before);
  return rig;
}

/** The call fails at every one of its fault points, the world is as it was, and the same call then succeeds. */
export function expectUntouched(each: Case): void {
  const { command, before, domains = [], ioases = ['ioas'], sites } = each;
  const reference = world(before);
  const success = reference.must(command);
  const seen = new Set<string>();
  for (let nth = 1; ; nth++) {
    const rig = world(before);
    const { faults } = rig.machine.kernel;
    const untouched = rig.state(domains, ioases);
    faults.arm(nth);
    const answer = rig.do(command);
    const { fired } = faults;
    faults.disarm();
    if (!fired) break;
    const site = faults.passed.at(nth - 1) as string;
    // What the copies from and to the user leave is in the property of faults.
    if (site.startsWith('copy_') && !sites.includes(site)) continue;
    seen.add(site);
    expect(answer, site).toHaveProperty('err');
    expect(rig.state(domains, ioases), site).toEqual(untouched);
    rig.expectAtRest();
    expect(rig.do(command), `again, without the fault at ${site}`).toEqual(success);
    expect(rig.state(domains, ioases)).toEqual(reference.state(domains, ioases));
  }
  // What opening the device itself can fail at is vfio's own affair.
  const ours = [...seen].filter((site) => !/^(vfio|pci|pm)_/.test(site));
  expect(ours.toSorted()).toEqual([...sites].toSorted());
}

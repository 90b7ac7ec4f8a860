/** What processes reach of devices without a fault, and how that differs from what they have mapped. */
import type { Machine } from '../impl/machine.ts';
import { faults } from '../model/buffers.ts';
import type { CpuPte } from '../model/invariants.ts';
import { mapOf, cpu as mappedIn } from '../model/observe.ts';
import type { State } from '../model/spec.ts';
import type { World } from './world.ts';

/** The leaves of every page table, each by the mapping that it lies in; by its address where there is none. */
export const cpuSeen = (machine: Machine): CpuPte[] =>
  machine.cpuMappings().map(({ map, process, at, memory, offset, length, address }) => ({
    map: mapOf(map ?? NOWHERE, process),
    at: BigInt(at ?? address),
    memory,
    offset: BigInt(offset),
    length: BigInt(length),
  }));

const NOWHERE = 'no mapping';

/** What processes reach, and for which state of both worlds that was found. */
export interface CpuLooked extends Pick<State, 'devices' | 'mappings' | 'takenBack'> {
  readonly changes: number;
  readonly ptes: readonly CpuPte[];
}

/**
 * What processes reach. The same object as before, unless a page table, a mapping, or what the model says of them has
 * changed since, or all is to be looked at.
 */
export function lookAtCpu(world: World, whole: boolean): CpuLooked {
  const { machine, state, cpu: was } = world;
  const { devices, mappings, takenBack } = state;
  const changes = machine.kernel.live.mappingChanges;
  const unchanged = !whole && was?.changes === changes;
  if (unchanged) {
    const same = was.devices === devices && was.mappings === mappings && was.takenBack === takenBack;
    // What is said of no entries is the same whatever the model says.
    if (same || was.ptes.length === 0) return was;
  }
  world.cpu = { devices, mappings, takenBack, changes, ptes: judged(state, cpuSeen(machine)) };
  return world.cpu;
}

/** The same, with the mappings marked that their owner has taken back. */
function judged(state: State, cpu: readonly CpuPte[]): readonly CpuPte[] {
  if (cpu.length === 0) return NO_PTES;
  const lost = state.mappings.filter(({ source }) => faults(state, source));
  const shut = new Set(lost.map(({ name, process }) => mapOf(name, process)));
  return cpu.map((pte) => (shut.has(pte.map) ? { ...pte, shut: true } : pte));
}

const NO_PTES: readonly CpuPte[] = [];

/** What the CPU reaches without having mapped it. Less than it has mapped is right: the rest comes with a fault. */
export function wrongCpu(state: State, cpu: readonly CpuPte[]): string[] {
  if (cpu.length === 0) return [];
  const mapped = mappedIn(state);
  const right = (pte: CpuPte, it: CpuPte): boolean =>
    it.map === pte.map &&
    it.memory === pte.memory &&
    it.offset - it.at === pte.offset - pte.at &&
    it.at <= pte.at &&
    pte.at + pte.length <= it.at + it.length;
  return cpu
    .filter((pte) => !mapped.some((it) => right(pte, it)))
    .map(({ map, at, memory, offset }) => {
      return `the CPU reaches ${memory}+0x${offset.toString(16)} at 0x${at.toString(16)} of ${map}`;
    });
}

/** What processes reach of devices without a fault, and how that differs from what they have mapped. */
import { toBigint } from '../impl/kernel/units.ts';
import type { Machine } from '../impl/machine.ts';
import { faults } from '../model/buffers.ts';
import type { CpuPte } from '../model/invariants.ts';
import { mapOf, cpu as mappedIn } from '../model/observe.ts';
import type { State } from '../model/spec.ts';

/** The leaves of every page table, each by the mapping that it lies in; by its address where there is none. */
export function cpuSeen(machine: Machine): CpuPte[] {
  const leaves = machine.cpuMappings();
  if (leaves.length === 0) return [];
  const mappings: { map: string; first: bigint }[] = [];
  for (const [name, named] of machine.names)
    if (named.kind === 'mem') mappings.push({ map: name, first: toBigint(named.address) });
  return leaves.map(({ memory, offset, length, address }) => {
    const first = BigInt(address);
    const within = mappings.filter((it) => it.first <= first).sort((a, b) => (a.first < b.first ? 1 : -1))[0];
    const { map, first: from } = within ?? NOWHERE;
    return { map, at: first - from, memory, offset: BigInt(offset), length: BigInt(length) };
  });
}

const NOWHERE = { map: 'nowhere', first: 0n };

/** The same, with the mappings marked that their owner has taken back. */
export function judged(state: State, cpu: readonly CpuPte[]): readonly CpuPte[] {
  if (cpu.length === 0) return cpu;
  const lost = state.mappings.filter(({ source }) => faults(state, source));
  const shut = new Set(lost.map(({ name, process }) => mapOf(name, process)));
  return cpu.map((pte) => (shut.has(pte.map) ? { ...pte, shut: true } : pte));
}

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
      const where = map === NOWHERE.map ? 'where nothing is mapped' : `of ${map}`;
      return `the CPU reaches ${memory}+0x${offset.toString(16)} at 0x${at.toString(16)}, ${where}`;
    });
}

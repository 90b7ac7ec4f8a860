/** What is left when everything is closed: nothing. */
import type { Mm } from '../impl/kernel/mm.ts';
import type { Machine } from '../impl/machine.ts';
import type { World } from './world.ts';

export function leftovers({ machine, state }: World): string[] {
  const left = leftInMachine(machine);
  for (const { space } of state.ioases) left.push(`${space.name} in the model`);
  return left;
}

/** The same of the implementation alone. */
export function leftInMachine(machine: Machine): string[] {
  const left: string[] = [];
  const { files, pages } = machine.kernel.live;
  for (const object of [...files, ...pages]) left.push(`${object.label}, which counts ${object.references}`);
  for (const { name } of machine.iommu.domains) left.push(`domain ${name}`);
  for (const { name, group, dmabufs } of machine.devices.values()) {
    if (group.domain !== undefined || group.owner !== undefined) left.push(`the group of ${name} is still owned`);
    if (dmabufs.length > 0) left.push(`${name} still lists ${dmabufs.length} buffers`);
  }
  for (const { name, group } of machine.mocks.values())
    if (group.domain !== undefined || group.owner !== undefined) left.push(`the group of ${name} is still owned`);
  for (const { name, mm } of machine.processes) left.push(...leftInMm(name, mm));
  for (const { name, pinned } of machine.ram.backings) if (pinned > 0) left.push(`${pinned} pins of ${name}`);
  return left;
}

/**
 * Memory of its own a process may keep, and the tables that it may need; what it has mapped of files, seen of them and
 * been charged is to be gone.
 */
function leftInMm(name: string, mm: Mm): string[] {
  const { vmas, pageTable, pinnedVm, lockedVm } = mm;
  const left = vmas.flatMap(({ file }) => (file === undefined ? [] : [`${name} still maps ${file.label}`]));
  const leaves = pageTable.leaves().length;
  const tables = pageTable.tables.filter(({ first, last }) => mm.overlapping(first, last).length === 0).length;
  if (leaves + tables > 0)
    left.push(`the page table of ${name} has ${leaves} entries, and ${tables} tables where nothing is mapped`);
  if (pinnedVm + lockedVm > 0) left.push(`${name} is charged for ${pinnedVm} pages, ${lockedVm} of them locked`);
  return left;
}

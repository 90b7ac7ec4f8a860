/** What is left when everything is closed: nothing. */
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
    if (group.domain !== undefined || group.ownerCount > 0) left.push(`the group of ${name} is still owned`);
    if (dmabufs.length > 0) left.push(`${name} still lists ${dmabufs.length} buffers`);
  }
  for (const { name, pinned } of machine.ram.backings) if (pinned > 0) left.push(`${pinned} pins of ${name}`);
  return left;
}

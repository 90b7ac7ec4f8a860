/** What shows without any translation: which domain a device is in, and what areas an IOAS has. */
import type { Area as ImplArea } from '../impl/iommufd/area.ts';
import { Ioas } from '../impl/iommufd/ioas.ts';
import { fromBigint, toBigint } from '../impl/kernel/units.ts';
import type { CpuPte } from '../model/invariants.ts';
import type { Area, State } from '../model/spec.ts';
import type { Command } from '../trace/command.ts';
import type { Place } from './look.ts';
import type { World } from './world.ts';

/** Devices whose DMA goes through another domain than it should. */
export function wrongDomains({ machine, state }: World): string[] {
  const wrong: string[] = [];
  for (const { name, domain } of state.devices) {
    const found = machine.domainOf(name);
    if (domain?.name !== found?.name) {
      wrong.push(`${name} should be in domain ${domain?.name ?? 'none'}, and is in ${found?.name ?? 'none'}`);
    }
  }
  return wrong;
}

/**
 * What the CPU still reaches of the devices that the step has reset, although every reset takes that away. A device
 * answers again when the step is over, so nothing else would show it. Whatever a step resets becomes another object.
 */
export function survivors(before: State, after: State, command: Command | undefined, cpu: readonly CpuPte[]): string[] {
  if (cpu.length === 0 || command === undefined || !RESETS.has(command.do)) return [];
  const reset = after.devices.filter((device) => !before.devices.includes(device)).map(({ name }) => name);
  return cpu
    .filter(({ memory }) => reset.includes(memory.slice(0, memory.lastIndexOf(':'))))
    .map(({ memory, offset }) => `the CPU still maps ${memory}+0x${offset.toString(16)} after the reset`);
}

const RESETS: ReadonlySet<Command['do']> = new Set<Command['do']>(['vfio_reset', 'vfio_flr', 'vfio_hot_reset']);

const LAST = (1n << 64n) - 1n;

/** All of every IOAS that exists in either world. */
export function wholeSpaces({ machine, state }: World): Place[] {
  const names = new Set(state.ioases.map(({ space }) => space.name));
  for (const ctx of machine.contexts)
    for (const object of ctx.objects) if (object instanceof Ioas) names.add(object.name);
  return [...names].map((name) => ({ name, first: 0n, last: LAST }));
}

/** For each IOAS whose areas a step changed, the stretch in which it did; all of one that came or went. */
export function changedSpaces(before: State, after: State): Place[] {
  if (before.ioases === after.ioases) return [];
  const places: Place[] = [];
  for (const ioas of after.ioases) {
    if (before.ioases.includes(ioas)) continue;
    const { space, areas } = ioas;
    const was = before.ioases.find((ioas) => ioas.space === space);
    if (was === undefined) places.push({ name: space.name, first: 0n, last: LAST });
    else if (was.areas !== areas) widen(places, space.name, was.areas, areas);
  }
  for (const { space } of before.ioases) {
    if (!after.ioases.some((ioas) => ioas.space === space)) places.push({ name: space.name, first: 0n, last: LAST });
  }
  return places;
}

/** From the first area that differs, seen from below, to the first that does, seen from above. */
function widen(places: Place[], name: string, from: readonly Area[], to: readonly Area[]): void {
  let low = 0;
  while (low < from.length && from[low] === to[low]) low++;
  let high = 1;
  while (high <= from.length - low && from.at(-high) === to.at(-high)) high++;
  const changed = [from[low], to[low], from.at(-high), to.at(-high)].filter((area) => area !== undefined);
  if (changed.length === 0) return;
  const first = changed.reduce((least, { iova }) => (iova < least ? iova : least), LAST);
  const last = changed.reduce((most, { iova, length }) => (iova + length - 1n > most ? iova + length - 1n : most), 0n);
  places.push({ name, first, last });
}

/** Where the areas of an IOAS are not those of the model; otherwise only a fixed map or an unmap would show it. */
export function wrongAreas(world: World, { name, first, last }: Place): string[] {
  const found = ioasNamed(world, name);
  const promised = world.state.ioases.find(({ space }) => space.name === name);
  if (found === undefined || promised === undefined) {
    return found === promised ? [] : [`${name} ${promised ? 'is missing' : 'should be gone'}`];
  }
  const areas = found.iopt.areas.overlapping(fromBigint(first), fromBigint(last));
  let next = 0;
  for (const { iova, length } of promised.areas) {
    if (iova > last) break; // The areas are ascending.
    if (iova + length <= first) continue;
    const area = areas[next++];
    if (area === undefined || toBigint(area.iova) !== iova || toBigint(area.length) !== length) {
      return [`${name} has the areas ${list(areas.map(bounds))}, and should have one at ${list([{ iova, length }])}`];
    }
  }
  return next === areas.length ? [] : [`${name} has the area ${list([bounds(areas[next] as Bounds)])} too many`];
}

type Bounds = Pick<ImplArea, 'iova' | 'length'>;

const bounds = ({ iova, length }: Bounds): { iova: bigint; length: bigint } => ({
  iova: toBigint(iova),
  length: toBigint(length),
});

const list = (areas: readonly { readonly iova: bigint; readonly length: bigint }[]): string =>
  areas.map(({ iova, length }) => `0x${iova.toString(16)} length 0x${length.toString(16)}`).join(', ') || 'none';

function ioasNamed({ machine }: World, name: string): Ioas | undefined {
  for (const ctx of machine.contexts) {
    for (const object of ctx.table) if (object instanceof Ioas && object.name === name) return object;
  }
  return undefined;
}

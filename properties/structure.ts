/** What shows without any translation: which domain a device is in, and what areas an IOAS has. */
import type { Area as ImplArea } from '../impl/iommufd/area.ts';
import { Ioas } from '../impl/iommufd/ioas.ts';
import { fromBigint, isExactly, toBigint } from '../impl/kernel/units.ts';
import type { CpuPte } from '../model/invariants.ts';
import type { Area, State } from '../model/spec.ts';
import type { Command } from '../trace/command.ts';
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

/** A stretch [first, last] of an IOAS, and the areas that the model has there; none at all for one that is gone. */
interface Space {
  readonly name: string;
  readonly first: bigint;
  readonly last: bigint;
  readonly areas: readonly Area[] | undefined;
}

const LAST = (1n << 64n) - 1n;
const whole = (name: string, areas: readonly Area[] | undefined): Space => ({ name, first: 0n, last: LAST, areas });

/** All of every IOAS that exists in either world. */
export function wholeSpaces({ machine, state }: World): Space[] {
  const spaces = new Map(state.ioases.map(({ space: { name }, areas }) => [name, whole(name, areas)]));
  for (const ctx of machine.contexts)
    for (const object of ctx.objects)
      if (object instanceof Ioas && !spaces.has(object.name)) spaces.set(object.name, whole(object.name, undefined));
  return [...spaces.values()];
}

/** For each IOAS whose areas a step changed, the stretch in which it did; all of one that came or went. */
export function changedSpaces(before: State, after: State): readonly Space[] {
  if (before.ioases === after.ioases) return NONE;
  const spaces: Space[] = [];
  for (const ioas of after.ioases) {
    if (before.ioases.includes(ioas)) continue;
    const { space, areas } = ioas;
    const was = before.ioases.find((ioas) => ioas.space === space);
    if (was === undefined) spaces.push(whole(space.name, areas));
    else if (was.areas !== areas) addChanged(spaces, space.name, was.areas, areas);
  }
  for (const { space } of before.ioases) {
    if (!after.ioases.some((ioas) => ioas.space === space)) spaces.push(whole(space.name, undefined));
  }
  return spaces;
}

const NONE: readonly Space[] = [];

/** From the first area that differs, seen from below, to the first that does, seen from above. Both ascend. */
function addChanged(spaces: Space[], name: string, from: readonly Area[], to: readonly Area[]): void {
  let low = 0;
  while (low < from.length && from[low] === to[low]) low++;
  let gone = from.length;
  let come = to.length;
  while (gone > low && come > low && from[gone - 1] === to[come - 1]) {
    gone--;
    come--;
  }
  const areas = to.slice(low, come);
  let first = LAST;
  let end = 0n;
  for (const some of [from.slice(low, gone), areas]) {
    for (const { iova, length } of some) {
      if (iova < first) first = iova;
      if (iova + length > end) end = iova + length;
    }
  }
  if (first < end) spaces.push({ name, first, last: end - 1n, areas });
}

/** Where the areas of an IOAS are not those of the model; otherwise only a fixed map or an unmap would show it. */
export function wrongAreas(world: World, { name, first, last, areas: promised }: Space): readonly string[] {
  const found = ioasNamed(world, name);
  if (found === undefined || promised === undefined) {
    return found === promised ? [] : [`${name} ${promised ? 'is missing' : 'should be gone'}`];
  }
  const areas = found.iopt.areas.overlapping(fromBigint(first), fromBigint(last));
  for (let i = 0; i < promised.length; i++) {
    const { iova, length } = promised[i] as Area;
    const area = areas[i];
    if (area === undefined || !isExactly(area.iova, iova) || !isExactly(area.length, length)) {
      return [`${name} has the areas ${list(areas.map(bounds))}, and should have one at ${list([{ iova, length }])}`];
    }
  }
  const more = areas[promised.length];
  return more === undefined ? [] : [`${name} has the area ${list([bounds(more)])} too many`];
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

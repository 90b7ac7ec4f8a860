/** What shows without any translation: which domain a device is in, and what areas an IOAS has. */
import type { Area as ImplArea } from '../impl/iommufd/area.ts';
import { Ioas } from '../impl/iommufd/ioas.ts';
import { fromBigint, isExactly, toBigint } from '../impl/kernel/units.ts';
import type { CpuPte } from '../model/invariants.ts';
import type { Area, State } from '../model/spec.ts';
import type { Command } from '../trace/command.ts';
import type { Change } from './changes.ts';
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
  const spaces = state.ioases.map(({ space: { name }, areas }) => whole(name, areas));
  for (const ctx of machine.contexts) {
    for (const object of ctx.table) {
      if (!(object instanceof Ioas) || spaces.some(({ name }) => name === object.name)) continue;
      spaces.push(whole(object.name, undefined));
    }
  }
  return spaces;
}

/** For each IOAS whose areas a step changed, the stretch in which it did; all of one that came or went. */
export function changedSpaces(changes: readonly Change[]): readonly Space[] {
  if (changes.length === 0) return NONE;
  const spaces: Space[] = [];
  for (const { name, was, is, gone, come } of changes) {
    if (was === undefined || is === undefined) spaces.push(whole(name, is?.areas));
    else if (gone.length + come.length > 0) spaces.push(spaceOf(name, gone, come));
  }
  return spaces;
}

const NONE: readonly Space[] = [];

/** From where either list begins to where either ends. Both ascend. */
function spaceOf(name: string, gone: readonly Area[], come: readonly Area[]): Space {
  let first = LAST;
  let end = 0n;
  for (const some of [gone, come]) {
    if (some.length === 0) continue;
    const [low, high] = [some[0] as Area, some.at(-1) as Area];
    if (low.iova < first) first = low.iova;
    if (high.iova + high.length > end) end = high.iova + high.length;
  }
  return { name, first, last: end - 1n, areas: come };
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

/** What is seen of a world when several threads have done what they could: as a plain value, from either world. */
import { DmaBuf } from '../../impl/dmabuf/dma-buf.ts';
import { fileOf } from '../../impl/handles.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { toBigint } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import type { VfioDeviceFile } from '../../impl/vfio/vfio-device.ts';
import { revoked } from '../../model/buffers.ts';
import type { CpuPte } from '../../model/invariants.ts';
import { reaches } from '../../model/observe.ts';
import type { State } from '../../model/spec.ts';
import type { Reach } from '../../trace/answer.ts';
import type { Handle } from '../../trace/command.ts';
import { showHex, showReach } from '../../trace/show.ts';
import { reachOf } from '../observe.ts';
import { cpuSeen, wrongCpu } from '../observe-cpu.ts';

/** What is left out is not compared. */
export interface Sight {
  /** Of every device; one that is missing reaches nothing. */
  readonly reach: ReadonlyMap<Handle, readonly Reach[]>;
  /** The areas of every IOAS, ascending, dead or alive: the first byte and the length of each. */
  readonly areas?: ReadonlyMap<Handle, readonly (readonly [iova: bigint, length: bigint])[]>;
  /** Of every vfio device's buffer, by the names of its descriptors: whether it is usable. */
  readonly usable?: ReadonlyMap<Handle, boolean>;
  /** Of every device of the machine: whether its descriptor is open, and what has the device bound to which context. */
  readonly opened?: ReadonlyMap<Handle, string>;
  /** What processes reach without a fault. Less than they have mapped is right: the rest comes with a fault. */
  readonly cpu?: readonly CpuPte[];
}

/** What the implementation shows. */
export const sightOf = (machine: Machine): Required<Sight> => ({
  reach: new Map([...machine.devices.keys(), ...machine.mocks.keys()].map((dev) => [dev, reachOf(machine, dev)])),
  areas: new Map([...machine.contexts].flatMap(({ objects }) => [...objects].flatMap(areasOf))),
  usable: new Map([...machine.names.keys()].flatMap((name) => usableOf(machine, name))),
  opened: new Map([...machine.devices.keys()].map((dev) => [dev, openedOf(machine, dev)])),
  cpu: cpuSeen(machine),
});

type Areas = readonly (readonly [iova: bigint, length: bigint])[];
const areasOf = (object: unknown): [Handle, Areas][] =>
  object instanceof Ioas
    ? [[object.name, object.iopt.areas.all().map(({ iova, length }) => [toBigint(iova), toBigint(length)])]]
    : [];

function usableOf(machine: Machine, name: Handle): [Handle, boolean][] {
  const what = fileOf(machine, name, 'file')?.what;
  const priv = what instanceof DmaBuf ? what.priv : undefined;
  return priv instanceof VfioPciDmaBuf ? [[name, !priv.revoked]] : [];
}

function openedOf(machine: Machine, dev: Handle): string {
  const file = fileOf(machine, dev, 'device')?.what as VfioDeviceFile | undefined;
  const bound = machine.devices.get(dev)?.iommufdDevice;
  return showOpened(file !== undefined, bound?.ctx.file.name, file?.accessGranted === true);
}

/** In what the model, in this state, shows anything else: each difference in a line; none when they are the same. */
export function differences(state: State, { reach, areas, usable, opened, cpu }: Sight): string[] {
  const found: string[] = [];
  const differs = (what: string, model: string, seen: string): void => {
    if (model !== seen) found.push(`${what} ${model} in the model, and ${seen} as seen`);
  };
  for (const dev of new Set([...state.devices.map(({ name }) => name), ...reach.keys()]))
    differs(`${dev} reaches`, showReaches(reaches(state, dev)), showReaches(reach.get(dev) ?? []));
  if (areas !== undefined) {
    const promised = new Map(
      state.ioases.map(({ space, areas }) => [space.name, areas.map(({ iova, length }) => [iova, length] as const)]),
    );
    for (const name of new Set([...promised.keys(), ...areas.keys()]))
      differs(`in ${name} is`, showAreas(promised.get(name)), showAreas(areas.get(name)));
  }
  if (usable !== undefined) {
    for (const [name, source] of state.handles)
      if (source?.is === 'dmabuf' && source.owner !== undefined)
        differs(`${name} is`, showUsable(!revoked(state, source)), showUsable(usable.get(name)));
  }
  for (const { name, opening, holder, context } of state.devices) {
    const seen = opened?.get(name);
    if (seen === undefined) continue;
    differs(`${name} is`, showOpened(opening !== undefined, context?.name, holder === opening), seen);
  }
  return [...found, ...wrongCpu(state, cpu ?? [])];
}

const showReaches = (rows: readonly Reach[]): string => rows.map(showReach).join(', ') || 'nothing';
const showAreas = (areas: Areas | undefined): string =>
  areas === undefined ? 'gone' : areas.map(showArea).join(', ') || 'nothing';
const showArea = ([iova, length]: Areas[number]): string => `an area at ${showHex(iova)} length ${showHex(length)}`;
const showUsable = (usable: boolean | undefined): string =>
  usable === undefined ? 'closed' : usable ? 'usable' : 'revoked';
const showOpened = (open: boolean, context: Handle | undefined, own: boolean): string => {
  const bound =
    context === undefined ? '' : ` and bound to ${context}${open && !own ? ' by a descriptor before it' : ''}`;
  return `${open ? 'open' : 'closed'}${bound}`;
};

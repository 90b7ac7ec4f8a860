/** How a race ended, in the words of the tables. */
import { Hwpt } from '../../impl/iommufd/hw-pagetable.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { hex } from '../../impl/kernel/units.ts';
import type { Machine, Named } from '../../impl/machine.ts';
import type { End, Extra } from './race.ts';
import type { World } from './world.ts';

/** An end in a line; the same end has the same words. */
export function wordsOf({ answers, buffers, reach, cpu, extra }: End): string {
  const words = [answers, `buffers ${buffers || 'none'}`];
  if (reach.length > 0) words.push(`reach ${reach.toSorted().join(', ')}`);
  if (cpu.length > 0) words.push(`CPU ${cpu.toSorted().join(', ')}`);
  for (const [key, value] of Object.entries(extra))
    words.push(`${key} ${Array.isArray(value) ? listOf(value) : value}`);
  return words.join('; ');
}

const listOf = (values: readonly string[]): string => (values.length === 0 ? 'none' : values.join(', '));

/** What there is to see, and of the extras those that `like` has, in its order. */
export function endOf(world: World, answers: readonly string[], like: Extra): End {
  const { machine } = world;
  const extra = Object.fromEntries(Object.keys(like).map((key) => [key, EXTRAS[key as keyof Extra](world)]));
  return {
    answers: answers.join(', '),
    buffers: buffersOf(machine),
    reach: reachOf(machine),
    cpu: cpuOf(machine),
    extra,
  };
}

const SHORT = { OK: 'OK', TEMP_REVOKED: 'TEMP', PERM_REVOKED: 'PERM' } as const;
const buffersOf = ({ devices }: Machine): string =>
  [...devices.values()].flatMap(({ dmabufs }) => dmabufs.map(({ status }) => SHORT[status])).join(' ');

const objectsOf = ({ names }: Machine): [string, Extract<Named, { kind: 'object' }>['object']][] =>
  [...names].flatMap(([name, named]) => (named.kind === 'object' ? [[name, named.object]] : []));

function reachOf(machine: Machine): string[] {
  const domains = [...machine.devices.keys(), ...machine.mocks.keys()].map(
    (name) => [name, machine.domainOf(name)] as const,
  );
  for (const [name, object] of objectsOf(machine)) {
    if (object instanceof Hwpt && object.ctx.has(object)) domains.push([name, object.domain]);
  }
  return domains.flatMap(([name, domain]) =>
    (domain?.stretches(domain.iommu.apertureFirst, domain.iommu.apertureLast) ?? []).map(
      ({ iova, phys, length }) => `${name} ${hex(iova)} → ${machine.targetOf(phys)} ${hex(length)}`,
    ),
  );
}

const cpuOf = (machine: Machine): string[] =>
  machine
    .cpuMappings()
    .map(({ process = 'process', map, memory, offset }) => `${process} ${map} → ${memory}+0x${offset.toString(16)}`);

const callsOf = ({ machine }: World): string[] =>
  machine.iommu.calls.map(({ op, domain, iova, length }) => `${op} ${domain.name} ${hex(iova)} ${hex(length)}`).sort();

const EXTRAS: { readonly [K in keyof Extra]-?: (world: World) => NonNullable<Extra[K]> } = {
  calls: callsOf,
  unmaps: (world) => callsOf(world).filter((call) => call.startsWith('unmap')),
  callbacks: ({ callbacks }) => [...callbacks],
  maps: ({ importers }) => [...importers.values()].reduce((sum, { maps }) => sum + maps.length, 0),
  areas: ({ machine }) =>
    objectsOf(machine).flatMap(([name, object]) =>
      object instanceof Ioas
        ? object.iopt.areas.all().map(({ iova, length }) => `${name} ${hex(iova)} ${hex(length)}`)
        : [],
    ),
  pins: ({ machine }) => machine.ram.backings.reduce((sum, { pinned }) => sum + pinned, 0),
  registrations: ({ machine }) => machine.devices.get('dev0')?.registration.count ?? 0,
  types: ({ machine }) => machine.mm.vmas.map(({ pageProt }) => pageProt.type),
  power: ({ machine }) => {
    const { engaged = false, pmUsage = 0 } = machine.devices.get('dev0') ?? {};
    return `${engaged ? 'engaged' : 'not engaged'}, ${pmUsage} reference${pmUsage === 1 ? '' : 's'}`;
  },
};

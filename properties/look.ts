/** Where to look after a step, and what is promised and found there. */
import type { Domain } from '../impl/iommu/domain.ts';
import { toBigint } from '../impl/kernel/units.ts';
import type { Pte } from '../model/invariants.ts';
import { placeOf } from '../model/iova.ts';
import type { Area, Ioas, State } from '../model/spec.ts';
import type { Calls } from './calls.ts';
import type { Effect } from './changes.ts';
import { translations } from './observe.ts';
import type { World } from './world.ts';

/** A stretch [first, last] of the domain `name`. */
export interface Place {
  readonly name: string;
  first: bigint;
  last: bigint;
}

/**
 * What the model promises there, and what the hardware finds; both ascending, and nothing for a domain that is gone.
 */
export interface Looked extends Place {
  readonly areas: readonly Area[];
  /** What one call maps, while the IOAS has no large pages. */
  readonly page: bigint | undefined;
  readonly ptes: readonly Pte[];
}

/** For each domain that anything happened in, the stretch that it happened in, and a page more on both sides. */
export function places({ machine }: World, effects: readonly Effect[], { maps, unmaps }: Calls): readonly Place[] {
  if (effects.length + maps.length + unmaps.length === 0) return NO_PLACES;
  const found: Place[] = [];
  for (const { domain, area } of effects) widen(found, domain, area.iova, area.iova + area.length - 1n);
  for (const { domain, iova, length } of maps) widen(found, domain, iova, iova + length - 1n);
  for (const { domain, iova, length } of unmaps) widen(found, domain, iova, iova + length - 1n);
  const margin = BigInt(machine.iommu.pageSizes[0] as number);
  const end = toBigint(machine.iommu.apertureLast);
  for (const place of found) {
    place.first = place.first < margin ? 0n : place.first - margin;
    place.last = place.last + margin > end ? end : place.last + margin;
  }
  return found;
}

const NO_PLACES: readonly Place[] = [];

function widen(places: Place[], name: string, first: bigint, last: bigint): void {
  const place = places.find((it) => it.name === name);
  if (place === undefined) {
    places.push({ name, first, last });
    return;
  }
  if (first < place.first) place.first = first;
  if (last > place.last) place.last = last;
}

/** All of every domain that exists in either world. */
export function wholePlaces({ machine, state }: World): Place[] {
  const [first, last] = [toBigint(machine.iommu.apertureFirst), toBigint(machine.iommu.apertureLast)];
  const places: Place[] = [];
  for (const { name } of machine.iommu.domains) places.push({ name, first, last });
  for (const { domains } of state.ioases) {
    for (const { name } of domains) if (!places.some((it) => it.name === name)) places.push({ name, first, last });
  }
  return places;
}

export function look(world: World, { name, first, last }: Place): Looked {
  const { machine, state } = world;
  const ioas = ioasOfDomain(state, name);
  const areas = ioas === undefined ? NO_AREAS : areasIn(ioas, first, last);
  const page = ioas?.largePages === false ? state.machine.pageSize : undefined;
  const domain = domainNamed(world, name);
  return { name, first, last, areas, page, ptes: domain ? translations(machine, domain, first, last) : [] };
}

const NO_AREAS: readonly Area[] = [];

/** Those that have a byte of [first, last]. */
function areasIn({ areas }: Ioas, first: bigint, last: bigint): readonly Area[] {
  let end = areas.length;
  while (end > 0 && (areas[end - 1] as Area).iova > last) end--;
  return areas.slice(placeOf(areas, first), end);
}

function ioasOfDomain({ ioases }: State, name: string): Ioas | undefined {
  for (const ioas of ioases) for (const domain of ioas.domains) if (domain.name === name) return ioas;
  return undefined;
}

function domainNamed({ machine }: World, name: string): Domain | undefined {
  for (const domain of machine.iommu.domains) if (domain.name === name) return domain;
  return undefined;
}

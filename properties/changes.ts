/**
 * What a step changed in the model: the areas that came and went, and which domain must have mapped and unmapped what.
 */
import type { Area, Ioas, State } from '../model/spec.ts';

/** An IOAS that a step changed. */
export interface Change {
  readonly name: string;
  /** Undefined for one that did not exist, and for one that is gone. */
  readonly was: Ioas | undefined;
  readonly is: Ioas | undefined;
  /** From the first area that differs to the last; what has not changed between them is in both. They ascend. */
  readonly gone: readonly Area[];
  readonly come: readonly Area[];
}

/** One area that a domain must begin, or cease, to translate. */
export interface Effect {
  readonly domain: string;
  readonly map: boolean;
  readonly area: Area;
}

/** The domains of an IOAS by name. */
export const domainNames = ({ domains }: Ioas): string[] => domains.map(({ name }) => name);

const hasDomain = ({ domains }: Ioas, name: string): boolean => domains.some((domain) => domain.name === name);

export function changesBetween(before: State, after: State): readonly Change[] {
  if (before.ioases === after.ioases) return NO_CHANGES;
  const changes: Change[] = [];
  for (const was of before.ioases) {
    if (after.ioases.includes(was)) continue;
    changes.push(changeOf(was, sameSpace(after, was)));
  }
  for (const is of after.ioases) {
    if (sameSpace(before, is) === undefined) changes.push(changeOf(undefined, is));
  }
  return changes;
}

const NO_CHANGES: readonly Change[] = [];
const NO_EFFECTS: readonly Effect[] = [];
const NO_AREAS: readonly Area[] = [];

function sameSpace({ ioases }: State, { space }: Ioas): Ioas | undefined {
  for (const ioas of ioases) if (ioas.space === space) return ioas;
  return undefined;
}

function changeOf(was: Ioas | undefined, is: Ioas | undefined): Change {
  const name = (was ?? (is as Ioas)).space.name;
  const from = was?.areas ?? NO_AREAS;
  const to = is?.areas ?? NO_AREAS;
  let low = 0;
  while (low < from.length && low < to.length && from[low] === to[low]) low++;
  let gone = from.length;
  let come = to.length;
  while (gone > low && come > low && from[gone - 1] === to[come - 1]) {
    gone--;
    come--;
  }
  return { name, was, is, gone: part(from, low, gone), come: part(to, low, come) };
}

const part = (areas: readonly Area[], from: number, end: number): readonly Area[] =>
  from === end ? NO_AREAS : areas.slice(from, end);

/** Everything that domains must have done for it: those that stay follow the areas, the others gain or drop all. */
export function effectsOf(changes: readonly Change[]): readonly Effect[] {
  if (changes.length === 0) return NO_EFFECTS;
  const effects: Effect[] = [];
  for (const { was, is, gone, come } of changes) {
    for (const { name } of was?.domains ?? []) {
      if (is === undefined || !hasDomain(is, name)) areaEffects(name, was?.areas ?? NO_AREAS, NO_AREAS, effects);
      else areaEffects(name, gone, come, effects);
    }
    for (const { name } of is?.domains ?? []) {
      if (was === undefined || !hasDomain(was, name)) areaEffects(name, NO_AREAS, is?.areas ?? NO_AREAS, effects);
    }
  }
  return effects;
}

/** What must happen in one domain for one list of areas, ascending, to become another. */
function areaEffects(domain: string, from: readonly Area[], to: readonly Area[], effects: Effect[]): void {
  let i = 0;
  let j = 0;
  while (i < from.length || j < to.length) {
    const old = from[i];
    const area = to[j];
    if (old === area) {
      i++;
      j++;
    } else if (old !== undefined && (area === undefined || old.iova <= area.iova)) {
      if (old.live) effects.push({ domain, map: false, area: old });
      i++;
    } else if (area !== undefined) {
      if (area.live) effects.push({ domain, map: true, area });
      j++;
    }
  }
}

/**
 * What a step changed in the model: which domain must have mapped and unmapped what, and the areas that came and went.
 */
import type { Area, Ioas, State } from '../model/spec.ts';

/** One area that a domain must begin, or cease, to translate. */
export interface Effect {
  readonly domain: string;
  readonly map: boolean;
  readonly area: Area;
}

/** The domains of an IOAS by name. */
export const domainNames = ({ domains }: Ioas): string[] => domains.map(({ name }) => name);

const hasDomain = ({ domains }: Ioas, name: string): boolean => domains.some((domain) => domain.name === name);

/** Everything that domains must have done between two states. */
export function effectsBetween(before: State, after: State): readonly Effect[] {
  if (before.ioases === after.ioases) return NONE;
  const effects: Effect[] = [];
  for (const ioas of before.ioases) {
    if (!after.ioases.includes(ioas)) leaveOrChange(after, ioas, effects);
  }
  for (const ioas of after.ioases) {
    if (before.ioases.includes(ioas)) continue;
    const was = before.ioases.find(({ space }) => space === ioas.space);
    for (const { name } of ioas.domains) {
      if (was === undefined || !hasDomain(was, name)) areaEffects(name, [], ioas.areas, effects);
    }
  }
  return effects;
}

const NONE: readonly Effect[] = [];

/** The domains that an IOAS had: those that stay follow its areas, the others drop them all. */
function leaveOrChange(after: State, ioas: Ioas, effects: Effect[]): void {
  const now = after.ioases.find(({ space }) => space === ioas.space);
  for (const { name } of ioas.domains) {
    if (now === undefined || !hasDomain(now, name)) areaEffects(name, ioas.areas, [], effects);
    else if (now.areas !== ioas.areas) areaEffects(name, ioas.areas, now.areas, effects);
  }
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

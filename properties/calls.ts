/**
 * Whether the calls that reached the domains are those that the step must make. How an implementation batches
 * neighbouring calls is its own affair; what counts is, for every byte of every domain, how often it was mapped, to
 * what, and how often it was unmapped. A refused step may map and unmap again what it could not complete.
 */
import type { Observation } from '../model/invariants.ts';
import { CallTally } from './call-tally.ts';
import type { Effect } from './changes.ts';

export type Calls = Pick<Observation, 'maps' | 'unmaps'>;

/** What is wrong with the calls, in a line; none when nothing is. */
export function wrongCalls(effects: readonly Effect[], calls: Calls, refused: boolean): string[] {
  if (effects.length === calls.maps.length + calls.unmaps.length && eachHasItsCall(effects, calls)) return [];
  const tally = new CallTally();
  for (const { domain, map, area } of effects) {
    if (map) tally.map('expected', domain, area.iova, area.length, area.source.memory, area.offset);
    else tally.unmap('expected', domain, area.iova, area.length);
  }
  for (const { domain, iova, memory, offset, length } of calls.maps) {
    tally.map('got', domain, iova, length, memory, offset);
  }
  for (const { domain, iova, cleared } of calls.unmaps) tally.unmap('got', domain, iova, cleared);
  return tally.firstDifference(refused);
}

/** The common case: one call for each effect, just so. */
function eachHasItsCall(effects: readonly Effect[], { maps, unmaps }: Calls): boolean {
  return effects.every(({ domain, map, area }) =>
    map
      ? maps.some(
          (call) =>
            call.domain === domain &&
            call.iova === area.iova &&
            call.length === area.length &&
            call.offset === area.offset &&
            call.memory === area.source.memory,
        )
      : unmaps.some((call) => call.domain === domain && call.iova === area.iova && call.cleared === area.length),
  );
}

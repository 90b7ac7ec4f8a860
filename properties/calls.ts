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
export function wrongCalls(effects: readonly Effect[], calls: Calls, refused: boolean): readonly string[] {
  if (areTiled(effects, calls)) return NONE;
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

const NONE: readonly string[] = [];

/** The common case: what was called for each effect, from the first byte to the last, and nothing else. */
function areTiled(effects: readonly Effect[], calls: Calls): boolean {
  let its = 0;
  for (const effect of effects) {
    const count = callsOf(effect, calls);
    if (count === 0) return false;
    its += count;
  }
  return its === calls.maps.length + calls.unmaps.length;
}

/** How many calls, one behind the other, map or unmap the area just so; 0 when none do. */
function callsOf({ domain, map, area }: Effect, { maps, unmaps }: Calls): number {
  const { iova, length, offset, source } = area;
  let its = 0;
  let done = 0n;
  for (const call of map ? maps : unmaps) {
    if (done === length) break;
    if (call.domain !== domain || call.iova !== iova + done) continue;
    if ('memory' in call && (call.memory !== source.memory || call.offset !== offset + done)) continue;
    its++;
    done += 'memory' in call ? call.length : call.cleared;
  }
  return done === length ? its : 0;
}

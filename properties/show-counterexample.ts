import type { Counterexample } from '../model/invariants.ts';

/** Where an invariant is broken, and how, in a line. */
export function showCounterexample({ domain, iova, why, cpu }: Counterexample): string {
  const at = `0x${iova.toString(16)}`;
  return cpu ? `mapping ${domain}, byte ${at}: ${why}` : `domain ${domain}, IOVA ${at}: ${why}`;
}

/** The seed of a random property: its own, or the one that SHOOTDOWN_SEED says. */

/** The seed of most of them. */
export const SEED = seedOr(20261120);

export function seedOr(fixed: number): number {
  const text = process.env['SHOOTDOWN_SEED'] ?? String(fixed);
  const seed = Number(text);
  if (!/^[0-9]+$/.test(text) || seed >= 2 ** 31) {
    throw new Error(`SHOOTDOWN_SEED takes a whole number below 2^31, not "${text}"`);
  }
  return seed;
}

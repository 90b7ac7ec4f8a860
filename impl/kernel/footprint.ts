/**
 * What a step of a thread touches, for an explorer that leaves out orders of steps that make no difference. Locks speak
 * for what they protect: whoever runs holds them. What is touched under no lock of its own is told here, as it happens.
 * Nothing is kept unless somebody explores.
 */

/** Of everything that has no number of its own: counts of references, tables of descriptors and of objects. */
export const LOCKLESS = 1;
/** Of what nobody can tell. A step that touches it stays where it is. */
export const WORLD = 0;
const FIRST = 2;

let recorded: number[] | undefined;
let made = FIRST;

/** The number of a new object. In two runs that do the same it is the same. */
export const newIdentity = (): number => made++;

/** Begin again, for a new world. */
export function newNumbering(): void {
  made = FIRST;
}

/** Number from here on; where it would have gone on. Each thread has its own, so that their order does not matter. */
export function swapNumbering(next: number): number {
  const before = made;
  made = next;
  return before;
}

/** From now on keep what is touched in `into`; undefined keeps nothing. */
export function record(into: number[] | undefined): void {
  recorded = into;
}

/** The running step reads or changes an object. */
export function touches(identity: number): void {
  if (recorded !== undefined) recorded.push(written(identity));
}

/** The running step reads it, and no more. */
export function looksAt(identity: number): void {
  if (recorded !== undefined) recorded.push(read(identity));
}

/** As footprints have it. */
export const written = (identity: number): number => identity * 2 + 1;
export const read = (identity: number): number => identity * 2;

/** A splat is what a debug kernel prints before it gives up: a bug in the implementation, never an answer. */

export type SplatKind =
  | 'WARN'
  | 'lockdep'
  | 'deadlock'
  | 'refcount'
  | 'use after free'
  | 'double unmap'
  | 'map over a mapping'
  | 'leak';

export class Splat extends Error {
  readonly kind: SplatKind;

  constructor(kind: SplatKind, what: string) {
    super(`${kind}: ${what}`);
    this.name = 'Splat';
    this.kind = kind;
  }
}

/** WARN_ON(): what must never be so. What takes time to say is said only then. Fails with a Splat. */
export function warnOn(condition: boolean, what: string | (() => string)): void {
  if (condition) throw new Splat('WARN', typeof what === 'string' ? what : what());
}

/** The default of a `switch` over a closed union. */
export function unreachable(value: never): never {
  throw new Splat('WARN', `unreachable: ${String(value)}`);
}

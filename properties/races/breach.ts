/** What is wrong with a run of several threads: one judge's words, whoever runs them. */
import { Splat } from '../../impl/kernel/splat.ts';
import { noDoubleUnmap } from '../../model/invariants.ts';
import { crashOf } from '../crash.ts';

/** `kind`, which is the name of the invariant that is broken, stays the same while a failure is shrunk. */
export interface Breach {
  readonly kind: string;
  readonly what: string;
}

/** What a run does wrong that no splat tells: ends it, at the step that shows it. */
export class Broken extends Error implements Breach {
  override readonly name = 'Broken';
  readonly kind: string;

  constructor({ kind, what }: Breach) {
    super(what);
    this.kind = kind;
  }

  get what(): string {
    return this.message;
  }
}

/** What ended a run: something that was seen after a step, a splat, or, as a kernel would oops, what nobody foresaw. */
export function breachIn(error: unknown): Breach {
  if (error instanceof Broken) return { kind: error.kind, what: error.what };
  if (error instanceof Splat) {
    // The page table itself sees an unmap of what is not mapped, before anybody can look.
    return { kind: error.kind === 'double unmap' ? noDoubleUnmap.name : error.kind, what: error.message };
  }
  return { kind: 'crash', what: crashOf(error).join(' ').trim() };
}

/** What a run of sequences has seen: command by answer, and the witnesses of the invariants. */
import type { State } from '../model/spec.ts';
import { stepOf, witnesses } from '../model/witnesses.ts';
import type { Ending } from './expected/entry.ts';
import { coverageTable, missing, pairKey, unexpected } from './expected/expected.ts';
import type { Performed } from './perform.ts';
import type { World } from './world.ts';

export class Coverage {
  /** How often each pair was seen. */
  readonly pairs = new Map<string, number>();
  /** How often each witness was. */
  readonly witnessed = new Map<string, number>();
  steps = 0;
  succeeded = 0;
  /** Live areas after each step, summed up. */
  liveAreas = 0;
  #counted: { readonly ioases: State['ioases']; readonly live: number } = { ioases: [], live: 0 };

  see({ state }: World, before: State, { command, result, observation }: Performed): void {
    this.steps++;
    if ('ok' in result) this.succeeded++;
    count(this.pairs, keyOf(command.do, 'err' in result ? result.err : 'ok'));
    this.liveAreas += this.#liveIn(state);
    // A step that changes nothing shows nothing, unless the CPU looks.
    if (state === before && command.do !== 'peek') return;
    const step = stepOf(before, command, state, observation);
    for (const { name, happened } of witnesses) if (happened(step)) count(this.witnessed, name);
  }

  /** Counted again when there are other IOASes than at the last step. */
  #liveIn({ ioases }: State): number {
    if (ioases !== this.#counted.ioases) {
      let live = 0;
      for (const { areas } of ioases) for (const area of areas) if (area.live) live++;
      this.#counted = { ioases, live };
    }
    return this.#counted.live;
  }

  /** A line for each expected pair or witness that did not occur, and for each pair that should not have. */
  get complaints(): string[] {
    const unseen = witnesses.filter(({ name }) => !this.witnessed.has(name));
    return [
      ...missing(this.pairs),
      ...unexpected(this.pairs),
      ...unseen.map(({ name, of }) => `nothing witnessed "${of}": ${name}`),
    ];
  }

  get table(): string[] {
    return [
      ...coverageTable(this.pairs),
      '',
      ...witnesses.map(({ name, of }) => `${String(this.witnessed.get(name) ?? 0).padStart(9)}  ${of}: ${name}`),
    ];
  }

  /** How much of the table was seen, of 1. */
  get share(): number {
    const expected = missing(new Map()).length + witnesses.length;
    return 1 - (missing(this.pairs).length + witnesses.length - this.witnessed.size) / expected;
  }
}

const count = (counts: Map<string, number>, of: string): void => {
  counts.set(of, (counts.get(of) ?? 0) + 1);
};

/** Each key is put together once, because a new string takes its time in a map. */
const KEYS = new Map<string, Map<Ending, string>>();

function keyOf(command: string, answer: Ending): string {
  const keys = KEYS.get(command) ?? KEYS.set(command, new Map()).get(command)!;
  return keys.get(answer) ?? keys.set(answer, pairKey(command, answer)).get(answer)!;
}

/** What a run of sequences has seen: command by answer, and the witnesses of the invariants. */
import type { State } from '../model/spec.ts';
import { witnesses } from '../model/witnesses.ts';
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

  see({ state }: World, before: State, { command, result, observation }: Performed): void {
    this.steps++;
    if ('ok' in result) this.succeeded++;
    const key = pairKey(command.do, 'err' in result ? result.err : 'ok');
    this.pairs.set(key, (this.pairs.get(key) ?? 0) + 1);
    for (const { areas } of state.ioases) for (const { live } of areas) if (live) this.liveAreas++;
    // A step that changes nothing shows nothing, unless the CPU looks.
    if (state === before && command.do !== 'peek') return;
    for (const { name, happened } of witnesses) {
      if (happened(before, command, state, observation)) this.witnessed.set(name, (this.witnessed.get(name) ?? 0) + 1);
    }
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

/**
 * Every way in which a race may end by the model alone: its commands in smaller steps, in every order, and with every
 * choice of the kernel's that some end of the table has.
 */

import { Machine } from '../../impl/machine.ts';
import { revoked } from '../../model/buffers.ts';
import { reaches } from '../../model/observe.ts';
import type { Freedom } from '../../model/part.ts';
import { advance, begin, isDone, type UnderWay } from '../../model/parts.ts';
import { buffersOf } from '../../model/parts-revoke.ts';
import { initial, type Source, type State, step } from '../../model/spec.ts';
import { keyOf } from '../../properties/concurrent/state-key.ts';
import { showValue } from '../../properties/divergence.ts';
import { MACHINES } from '../../properties/races/machines.ts';
import type { Case, End, Step } from '../../properties/races/race.ts';
import { threadsOf } from '../../properties/races/run.ts';
import { short } from '../../properties/races/world.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { showHex } from '../../trace/show.ts';

/** The threads of a case, if all that happens in it is by commands and nothing fails. */
export function commandsOf({ before, actors, fails, ends }: Case): Command[][] | undefined {
  const threads = threadsOf(actors);
  const steps: readonly Step[] = [...before, ...threads.flat()];
  const blocked = ends.some(({ answers }) => answers.includes('blocked'));
  if (fails !== undefined || blocked || steps.some(({ do: what }) => OTHERS.test(what))) return undefined;
  return threads as Command[][];
}
const OTHERS = /^(importer|fence|access|code)/;

/** The model's state before the race. */
export function before({ machine, kernel = '7.3', before: steps }: Case): State {
  const config = MACHINES[machine ?? 'two buses'];
  const state = initial(config, new Machine(config, kernel).kernel.features.mapsBuffers);
  return (steps as readonly Command[]).reduce((at, command) => {
    const outcome = step(at, command);
    if (!('ok' in outcome)) throw new Error(`${command.do} is refused before the race`);
    return outcome.state;
  }, state);
}

/** What of an end the model shows, in words. */
export const shownOf = ({ answers, buffers, reach }: Pick<End, 'answers' | 'buffers' | 'reach'>): string =>
  [answers, buffers || 'none', ...reach.toSorted()].join('; ');

export function endsOf(one: Case, threads: readonly (readonly Command[])[]): Set<string> {
  const search = new Ends(threads, choicesIn(one));
  search.from(
    before(one),
    threads.map(() => ({ command: 0, underWay: undefined, answers: [] })),
  );
  return search.ends;
}

/** The automatic IOVAs that the ends of a case have. */
const choicesIn = ({ ends }: Case): bigint[] => [
  ...new Set(ends.flatMap(({ answers }) => [...answers.matchAll(/ok at (0x[0-9a-f]+)/g)].map(([, at]) => BigInt(at!)))),
];

interface Place {
  readonly command: number;
  readonly underWay: UnderWay | undefined;
  readonly answers: readonly string[];
}

class Ends {
  readonly ends = new Set<string>();
  readonly #seen = new Set<string>();
  readonly #threads: readonly (readonly Command[])[];
  readonly #free: readonly Freedom[];

  constructor(threads: readonly (readonly Command[])[], choices: readonly bigint[]) {
    this.#threads = threads;
    this.#free = [{}, { hit: true }, ...choices.map((iova) => ({ iova }))];
  }

  from(state: State, places: readonly Place[]): void {
    const at = places.map(({ command, underWay, answers }) => [command, stepsOf(underWay), answers]);
    const key = `${at}|${keyOf(state)}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    let [over, moved] = [true, false];
    for (const [i, { command, underWay, answers }] of places.entries()) {
      const next = (this.#threads[i] as readonly Command[])[command];
      if (next === undefined) continue;
      over = false;
      const now = underWay ?? begin(i, next);
      for (const free of this.#free) {
        const to = advance(state, now, free);
        if (to === 'waits') continue;
        moved = true;
        if ('refused' in to) continue; // The kernel would not choose so.
        this.from(to.state, places.toSpliced(i, 1, this.#placed(i, command, to.underWay, answers)));
      }
    }
    if (over) this.ends.add(shownOf({ ...shown(state), answers: places.map((it) => it.answers.join('+')).join(', ') }));
    else if (!moved) this.ends.add('deadlock');
  }

  /** The first call of a thread that is refused is its last. */
  #placed(i: number, command: number, underWay: UnderWay, answers: readonly string[]): Place {
    if (!isDone(underWay)) return { command, underWay, answers };
    const thread = this.#threads[i] as readonly Command[];
    const answer = underWay.answer as Result;
    const next = 'err' in answer ? thread.length : command + 1;
    return { command: next, underWay: undefined, answers: [...answers, short(thread[command] as Command, answer)] };
  }
}

function stepsOf(underWay: UnderWay | undefined): string {
  if (underWay === undefined) return '';
  const { left, owed, answer } = underWay;
  return [...left, ...owed].map(({ name }) => name).join('>') + showValue(answer);
}

function shown(state: State): Pick<End, 'buffers' | 'reach'> {
  const { devices, handles, ioases } = state;
  const status = (source: Source): string =>
    state.takenBack.includes(source) ? 'PERM' : revoked(state, source) ? 'TEMP' : 'OK';
  const buffers = devices.flatMap((device) => buffersOf(state, device).map(status)).join(' ');
  const through = devices.flatMap(({ name }) => rowsOf(name, name, state));
  const domains = [...handles].flatMap(([name, domain]): string[] => {
    if (domain?.is !== 'domain' || !ioases.some((ioas) => ioas.domains.includes(domain))) return [];
    // What any device would reach through it.
    const moved = { ...state, devices: devices.map((device) => ({ ...device, domain })) };
    return rowsOf(name, devices[0]?.name ?? '', moved);
  });
  return { buffers, reach: [...through, ...domains] };
}

const rowsOf = (name: string, dev: string, state: State): string[] =>
  reaches(state, dev).map(([iova, target, length]) => `${name} ${showHex(iova)} → ${target} ${showHex(length)}`);

/**
 * Whether some order of what several threads did explains all that they were answered and what was seen in the end:
 *
 *     const verdict = linearize({ before: world.state, branches, after: sightOf(machine) });
 *     if (!verdict.explained) throw new Error(showVerdict(history, verdict).join('\n'));
 *
 * An order respects real time: who had returned before another began comes first. It is the same for the same history.
 */
import { type State, step } from '../../model/spec.ts';
import { showCommand, showResult } from '../../trace/show.ts';
import { choiceIn, wrongAnswer } from '../perform.ts';
import type { Call, History } from './history.ts';
import { differences } from './sight.ts';

/** A call of a branch, by their places in the history. */
export interface Taken {
  readonly branch: number;
  readonly call: number;
}

/**
 * The order that explains it; or else the longest that explains as much as any, and why nothing goes on from there.
 * `tried`: how many orders were begun, as a measure of the work.
 */
export type Verdict =
  | { readonly explained: true; readonly order: readonly Taken[]; readonly tried: number }
  | {
      readonly explained: false;
      readonly order: readonly Taken[];
      readonly why: readonly string[];
      readonly tried: number;
    };

export function linearize(history: History): Verdict {
  const search = new Search(history);
  const explained = search.from(
    history.before,
    history.branches.map(() => 0),
  );
  const { tried, longest, why } = search;
  return explained ? { explained, order: search.order, tried } : { explained, order: longest, why, tried };
}

class Search {
  readonly #history: History;
  readonly order: Taken[] = [];
  longest: readonly Taken[] = [];
  why: string[] = [];
  tried = 0;

  constructor(history: History) {
    this.#history = history;
  }

  /** Whether the calls that are left, from `next` of each branch on, can follow. */
  from(state: State, next: readonly number[]): boolean {
    this.tried++;
    const { branches, after } = this.#history;
    const misfits: string[] = [];
    for (const [branch, calls] of branches.entries()) {
      const at = next[branch] as number;
      const call = calls[at];
      if (call === undefined || !this.#mayBeNext(next, call)) continue;
      const following = follow(state, call);
      if ('misfit' in following) {
        misfits.push(`${showCommand(call.command)}: ${following.misfit}`);
        continue;
      }
      this.order.push({ branch, call: at });
      if (this.from(following.state, next.toSpliced(branch, 1, at + 1))) return true;
      this.order.pop();
    }
    // Who is blocked may have done nothing that shows.
    const done = branches.every((calls, branch) =>
      calls.slice(next[branch]).every(({ returned }) => returned === undefined),
    );
    const different = done ? differences(state, after) : misfits;
    if (done && different.length === 0) return true;
    if (this.order.length >= this.longest.length) [this.longest, this.why] = [[...this.order], different];
    return false;
  }

  /** Nobody who is still to come had returned before it began. */
  #mayBeNext(next: readonly number[], { began }: Call): boolean {
    return this.#history.branches.every((calls, branch) => {
      const returned = calls[next[branch] as number]?.returned;
      return returned === undefined || returned >= began;
    });
  }
}

/** Where a call leads, or how it differs from what the model answers. */
function follow(state: State, { command, result }: Call): { readonly state: State } | { readonly misfit: string } {
  const outcome = step(state, command, result && choiceIn(command, result));
  const wrong = result && wrongAnswer(outcome, result);
  if (wrong !== undefined) return { misfit: wrong.join(', ') };
  return { state: ('state' in outcome && outcome.state) || state };
}

/** For a person: the order, one line for each call; and what did not fit. */
export function showVerdict({ branches }: History, verdict: Verdict): string[] {
  const line = ({ branch, call }: Taken): string => {
    const { command, result } = (branches[branch] as readonly Call[])[call] as Call;
    return `  ${branch}: ${showCommand(command)}  ${result ? showResult(result) : 'blocked'}`;
  };
  const order = verdict.order.map(line);
  if (verdict.explained) return ['explained by this order:', ...order];
  return ['no order explains it; the closest:', ...order, 'then:', ...verdict.why.map((text) => `  ${text}`)];
}

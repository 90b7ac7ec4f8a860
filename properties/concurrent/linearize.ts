/**
 * Whether some order of what several threads did explains all that they were answered and what was seen in the end:
 *
 *     const verdict = linearize({ before: world.state, branches, after: sightOf(machine) });
 *     if (!verdict.explained) throw new Error(showVerdict(history, verdict).join('\n'));
 *
 * A command that is not atomic is taken in the smaller steps of `model/parts.ts`, and those of several may alternate.
 * An order respects real time: whoever had returned before another began is done by then. It is the same for the same
 * history. Who is blocked may have done any of its steps.
 */
import { advance, begin, isDone, nextOf, type UnderWay } from '../../model/parts.ts';
import type { State } from '../../model/spec.ts';
import { showCommand, showResult } from '../../trace/show.ts';
import { showValue } from '../divergence.ts';
import { choiceIn, sameResult } from '../perform.ts';
import type { Call, History } from './history.ts';
import { differences } from './sight.ts';
import { keyOf } from './state-key.ts';

/** A small step of a call, by its place in the history and by what it does. */
export interface Taken {
  readonly branch: number;
  readonly call: number;
  readonly step: string;
}

/**
 * The order that explains it, and where it leads; or else one that explains as much as any, and why nothing goes on
 * from there. `tried`: how many small steps were, as a measure of the work.
 */
export type Verdict = { readonly order: readonly Taken[]; readonly tried: number } & (
  | { readonly explained: true; readonly state: State }
  | { readonly explained: false; readonly why: readonly string[] }
);

/** `also`: what else is wrong if the model has come to a state in the end, a line each. */
export function linearize(history: History, also: (state: State) => readonly string[] = () => []): Verdict {
  const search = new Search(history, also);
  const explained = search.from(
    history.before,
    history.branches.map(() => ({ call: 0, underWay: undefined })),
  );
  const { order, state, tried, closest, why } = search;
  return explained ? { explained, order, state, tried } : { explained, order: closest, why, tried };
}

/** How far a branch has come. */
interface Place {
  readonly call: number;
  readonly underWay: UnderWay | undefined;
}

/** The first so many steps are taken without remembering where they failed: most histories need no more. */
const UNREMEMBERED = 60;

class Search {
  readonly #history: History;
  readonly #also: (state: State) => readonly string[];
  /** From where it is known to be in vain. */
  readonly #vain = new Set<string>();
  readonly order: Taken[] = [];
  /** Where the order leads that explains it. */
  state: State;
  closest: readonly Taken[] = [];
  #most = -1;
  why: readonly string[] = [];
  tried = 0;

  constructor(history: History, also: (state: State) => readonly string[]) {
    this.#history = history;
    this.#also = also;
    this.state = history.before;
  }

  /** Whether what is left can follow. */
  from(state: State, places: readonly Place[]): boolean {
    const key = this.tried > UNREMEMBERED ? `${places.map(placeKey).join('/')}|${keyOf(state)}` : undefined;
    if (key !== undefined && this.#vain.has(key)) return false;
    const misfits: string[] = [];
    for (const branch of this.#soonest(places)) if (this.#go(state, places, branch, misfits)) return true;
    if (this.#isOver(places)) {
      const different = this.#wrong(state);
      if (different.length === 0) {
        this.state = state;
        return true;
      }
      misfits.push(...different);
    }
    this.#note(places, misfits);
    if (key !== undefined) this.#vain.add(key);
    return false;
  }

  #wrong(state: State): readonly string[] {
    const different = differences(state, this.#history.after);
    return different.length > 0 ? different : this.#also(state);
  }

  /** Whether it can go on with a small step of this branch. */
  #go(state: State, places: readonly Place[], branch: number, misfits: string[]): boolean {
    const { call, underWay: before } = places[branch] as Place;
    const it = this.#call(branch, call) as Call;
    const { command, result } = it;
    const underWay = before ?? begin(branch, command);
    this.tried++;
    const next = advance(state, underWay, freedomIn(it));
    const step = nextOf(underWay);
    if (next === 'waits') misfits.push(`${showCommand(command)} waits: it ${step}`);
    else if ('refused' in next) misfits.push(`${showCommand(command)}: ${next.refused}`);
    else {
      const { answer } = next.underWay;
      if (result !== undefined && answer !== undefined && !sameResult(answer, result)) {
        misfits.push(`${showCommand(command)}: the model answers ${showValue(answer)}, not ${showValue(result)}`);
        return false;
      }
      const place = isDone(next.underWay) ? { call: call + 1, underWay: undefined } : { call, underWay: next.underWay };
      this.order.push({ branch, call, step });
      if (this.from(next.state, places.toSpliced(branch, 1, place))) return true;
      this.order.pop();
    }
    return false;
  }

  /** The branches that may go on, the one first whose call returned first. */
  #soonest(places: readonly Place[]): number[] {
    const branches = [...places.keys()].filter((branch) => this.#mayGoOn(places, branch));
    const returned = (branch: number): number =>
      this.#call(branch, (places[branch] as Place).call)?.returned ?? Number.POSITIVE_INFINITY;
    return branches.sort((a, b) => (returned(a) < returned(b) ? -1 : returned(a) > returned(b) ? 1 : a - b));
  }

  /** It has a call left, and if that has yet to begin, nobody is under way or to come who had returned before. */
  #mayGoOn(places: readonly Place[], branch: number): boolean {
    const { call, underWay } = places[branch] as Place;
    const next = this.#call(branch, call);
    if (next === undefined || underWay !== undefined) return next !== undefined;
    return places.every(({ call }, other) => {
      const returned = other === branch ? undefined : this.#call(other, call)?.returned;
      return returned === undefined || returned >= next.began;
    });
  }

  /** Only who is blocked is left. */
  #isOver(places: readonly Place[]): boolean {
    return places.every(({ call }, branch) => this.#call(branch, call)?.returned === undefined);
  }

  /** The furthest is the one with the most calls done. */
  #note(places: readonly Place[], misfits: readonly string[]): void {
    const far = 1000 * places.reduce((sum, { call }) => sum + call, 0) + this.order.length;
    if (far <= this.#most) return;
    this.#most = far;
    this.closest = [...this.order];
    this.why = misfits;
  }

  #call(branch: number, call: number): Call | undefined {
    return this.#history.branches[branch]?.[call];
  }
}

/**
 * What the kernel was free to do, as the answer tells it: where to map, and whether a touch has found an entry. Of 4
 * bytes across the end of a mapping the first may have one: EFAULT. Who fails after it has mapped tells nothing.
 */
const freedomIn = ({ command, result, placed }: Call): Parameters<typeof advance>[2] =>
  result && {
    iova: choiceIn(command, result) ?? placed,
    hit: 'err' in result || result.ok.value !== undefined,
  };

function placeKey({ call, underWay }: Place): string {
  if (underWay === undefined) return `${call}`;
  const { left, owed, ending } = underWay;
  const steps = (parts: UnderWay['left']): string => parts.map(({ name }) => name).join('>');
  return `${call} ${steps(left)} ${steps(owed)} ${ending}`;
}

/** For a person: the order, a line for each stretch of a call; and what did not fit. */
export function showVerdict({ branches }: History, verdict: Verdict): string[] {
  const order = stretches(verdict.order).map(({ branch, call, steps }) => {
    const { command, result } = (branches[branch] as readonly Call[])[call] as Call;
    return `  ${branch}: ${showCommand(command)} (${result ? showResult(result) : 'blocked'}): ${steps.join(', ')}`;
  });
  if (verdict.explained) return ['explained by this order:', ...order];
  return ['no order explains it; the closest:', ...order, 'then:', ...verdict.why.map((text) => `  ${text}`)];
}

interface Stretch extends Omit<Taken, 'step'> {
  readonly steps: readonly string[];
}
function stretches(order: readonly Taken[]): Stretch[] {
  const found: Stretch[] = [];
  for (const { branch, call, step } of order) {
    const last = found.at(-1);
    if (last?.branch === branch && last.call === call) found.splice(-1, 1, { ...last, steps: [...last.steps, step] });
    else found.push({ branch, call, steps: [step] });
  }
  return found;
}

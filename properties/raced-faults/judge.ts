/**
 * Whether a race ended as it may: in some order of the two, or with the call between the two halves of a revoke that
 * gives back what it has taken, each answers what the model or the fault's rule says, and the world is what they leave.
 * A call that fails and leaves nothing has never been, down to the last reference.
 *
 * Source: iommufd 4.5, 5; vfio-dmabuf 7.3
 */
import { type State, step } from '../../model/spec.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import type { Fault } from '../../trace/trace.ts';
import { agree } from '../agree.ts';
import { Divergence, showValue } from '../divergence.ts';
import { showFault, wrongStatus } from '../faults/faults.ts';
import { answerOf, stateAfter } from '../faults/ruled.ts';
import { ruleOf } from '../faults/rules.ts';
import { differences, stateOf } from '../faults/state.ts';
import { choiceIn, perform, sameResult } from '../perform.ts';
import { closeAll } from '../walk.ts';
import type { World } from '../world.ts';
import { begin, type Raced, type RacedCall } from './race.ts';

/** One way in which it may end. */
interface End {
  readonly called: Result;
  readonly revoked: Result;
  readonly state: State;
  /** The call leaves nothing: it has failed, and its rule does not say otherwise. */
  readonly untouched: boolean;
}

/** What the revoke does before the call, and after it. */
type Halves = readonly [before: readonly Command[], after: readonly Command[]];

/** Judges the races of one call with one revoke. */
export class Judge {
  readonly #it: RacedCall;
  #alone: readonly string[] | undefined;

  constructor(it: RacedCall) {
    this.#it = it;
  }

  /** Fails with a Divergence: it did not end as it may, does not succeed again, or leaves something when all closes. */
  judge(raced: Raced, fault: Fault | undefined, closing: number): void {
    const { world } = raced;
    const { call } = this.#it;
    const end = this.#endOf(raced, raced.failed ? fault : undefined);
    world.state = end.state;
    const left = end.untouched ? differences(this.#afterRevoke(), stateOf(world.machine)) : [];
    if (left.length > 0) throw this.#wrong(world, 'not as before', left, fault);
    // One that succeeded would make a second thing of the same name.
    if ('err' in raced.called) perform(world, call);
    closeAll(world, closing);
  }

  /** The first that fits. */
  #endOf(raced: Raced, fault: Fault | undefined): End {
    const { world, called, revoked } = raced;
    const why: string[] = [];
    for (const end of this.#ends(raced, fault)) {
      if (!sameResult(end.called, called) || !sameResult(end.revoked, revoked)) {
        why.push(`not ${showValue(end.called)}, and then ${showValue(end.revoked)}`);
        continue;
      }
      const wrong = wrongIn(world, end.state);
      if (wrong.length === 0) return end;
      why.push(...wrong);
    }
    const answers = `the call answers ${showValue(called)}, the revoke ${showValue(revoked)}`;
    throw this.#wrong(world, 'outcome', [answers, ...why], fault);
  }

  /** The call first, or the revoke; or the call when the revoke has taken all, and not given it back. */
  *#ends({ world, called }: Raced, fault: Fault | undefined): Generator<End> {
    const { call, revoke, state } = this.#it;
    const [all, halfway] = [[revoke.command], revoke.takes];
    const orders: Halves[] = [
      [[], all],
      [all, []],
    ];
    if (halfway.length > 0) orders.push([halfway, all]);
    for (const [before, after] of orders) {
      const one = run(state, before);
      const two = callIn(world, one.state, call, called, fault);
      if (two === undefined) continue;
      const three = run(two.state, after);
      const revoked = after.length > 0 ? three.answer : one.answer;
      yield { called: two.answer, revoked, state: three.state, untouched: two.untouched };
    }
    // It asks for the lock that the revoke holds, and does not wait. With one function on the bus nothing is undone.
    if (call.do !== 'vfio_hot_reset') return;
    const { state: after, answer } = run(state, all);
    yield { called: { err: 'EBUSY' }, revoked: answer, state: after, untouched: true };
  }

  /** The implementation after the revoke alone. */
  #afterRevoke(): readonly string[] {
    if (this.#alone === undefined) {
      const { machine } = begin(this.#it);
      machine.execute(this.#it.revoke.command);
      this.#alone = stateOf(machine);
    }
    return this.#alone;
  }

  #wrong({ history }: World, breach: string, lines: readonly string[], fault: Fault | undefined): Divergence {
    const shown = fault === undefined ? [] : [showFault(fault)];
    return new Divergence(breach, history.length, this.#it.call, [...lines, ...shown]);
  }
}

/** The commands in the model, and what the last answers. */
function run(state: State, commands: readonly Command[]): Pick<End, 'state'> & { readonly answer: Result } {
  let at = state;
  let answer: Result = { ok: {} };
  for (const command of commands) {
    const outcome = step(at, command);
    if ('refused' in outcome) throw new Error(`${command.do} chooses nothing`);
    answer = 'err' in outcome ? { err: outcome.err } : { ok: outcome.ok };
    at = outcome.state ?? at;
  }
  return { state: at, answer };
}

/** The call in this state; undefined where no rule says what becomes of it. */
function callIn(
  { machine }: World,
  before: State,
  call: Command,
  called: Result,
  fault: Fault | undefined,
): { readonly answer: Result; readonly state: State; readonly untouched: boolean } | undefined {
  if (fault === undefined) {
    const outcome = step(before, call, choiceIn(call, called));
    if ('refused' in outcome) return undefined;
    const answer: Result = 'err' in outcome ? { err: outcome.err } : { ok: outcome.ok };
    return { answer, state: outcome.state ?? before, untouched: 'err' in outcome && outcome.state === undefined };
  }
  const rule = ruleOf(call, before, fault);
  if (rule === undefined) return undefined;
  const answer = rule.answer === 'ok' ? answerOf(call, before, called) : { err: rule.answer };
  if (typeof answer === 'string') return undefined;
  return { answer, state: stateAfter(machine, rule, before), untouched: (rule.leaves ?? []).length === 0 };
}

/** How the implementation differs from this state of the model. */
function wrongIn(world: World, state: State): readonly string[] {
  world.state = state;
  const status = wrongStatus(world);
  if (status.length > 0) return status;
  try {
    agree(world, state, [], { command: undefined, refused: false, whole: true });
    return [];
  } catch (error) {
    if (!(error instanceof Divergence)) throw error;
    return [error.message, ...error.details];
  }
}

/**
 * One step of both worlds of which one fault point fails. What it answers and leaves is what its rule says; the
 * invariants hold, nothing is lost or left over, and no lock is held. Source: iommufd 5
 */
import { dmaBufOf } from '../../impl/dmabuf/dma-buf.ts';
import { vfioPciDmaBufOf } from '../../impl/vfio/pci-dmabuf.ts';
import { revoked } from '../../model/buffers.ts';
import type { State } from '../../model/spec.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import type { Fault, Step } from '../../trace/trace.ts';
import { agree } from '../agree.ts';
import { Divergence, showValue } from '../divergence.ts';
import { execute, type Performed, perform, sameResult } from '../perform.ts';
import type { World } from '../world.ts';
import { answerOf, stateAfter } from './ruled.ts';
import { type Rule, ruleOf } from './rules.ts';
import { differences, stateOf } from './state.ts';

/** More passages than any call makes. */
const NEVER = 1_000_000;

/** The fault points that a call passes, in order; it is made, and answers `result`. */
export function pointsOf(world: World, command: Command): { readonly result: Result; readonly points: Fault[] } {
  const { faults } = world.machine.kernel;
  faults.arm(NEVER);
  let result: Result;
  try {
    result = execute(world, command, world.history.length + 1);
  } finally {
    faults.disarm();
  }
  const counts = new Map<string, number>();
  const points = faults.passed.map((site) => {
    const nth = (counts.get(site) ?? 0) + 1;
    counts.set(site, nth);
    return { site, nth };
  });
  return { result, points };
}

interface PerformedFaulty extends Performed {
  readonly rule: Rule;
  /** Fault points that it has passed since: each could fail, too. */
  readonly later: number;
}

/** A step of a trace, with its fault where it has one. Fails with a Divergence. */
export const performStep = (world: World, { command, fault }: Step): Performed =>
  fault === undefined ? perform(world, command) : performFaulty(world, command, fault);

/**
 * The call with the fault, judged. `again`: which of the points that it passes then fails, too; none, if 0.
 * Fails with a Divergence, also when the fault is never met.
 */
export function performFaulty(world: World, command: Command, fault: Fault, again = 0): PerformedFaulty {
  const before = world.state;
  const number = world.history.length + 1;
  const fail = (breach: string, ...wrong: readonly string[]): never => {
    throw new Divergence(breach, number, command, [...wrong, showFault(fault)]);
  };
  const first = ruleOf(command, before, fault);
  const as = stateOf(world.machine);
  const result = executeFaulty(world, command, fault, again);
  const { later, failedAgain } = world.machine.kernel.faults;
  if (first === undefined) return fail('fault', 'no rule says what becomes of the call');
  if (first.answer !== 'ok') {
    const more = later.filter((site) => first.meets?.includes(site) !== true);
    if (more.length > 0) fail('fault', `it has failed, and still needs ${more.join(', ')}`);
  }
  // To undo gets by without what it needs; and so does a call that got by without the first, or it fails by the second.
  const second =
    first.answer === 'ok' && failedAgain !== undefined ? secondOf(command, before, failedAgain) : undefined;
  const rule = second ?? first;
  world.state = stateAfter(world.machine, rule, before);
  const expected = rule.answer === 'ok' ? answerOf(command, before, result) : { err: rule.answer };
  if (typeof expected === 'string') return fail('answer', expected);
  if (!sameResult(expected, result))
    fail('fault', `the rule answers ${showValue(expected)}`, `the implementation ${showValue(result)}`);
  const calls = world.machine.takeCalls();
  const status = wrongStatus(world);
  if (status.length > 0) fail('revoked', ...status);
  const observation = agree(world, before, calls, { command, refused: true, whole: true });
  const left = (rule.leaves ?? []).length === 0 ? differences(as, stateOf(world.machine)) : [];
  if (left.length > 0) fail('not as before', ...left);
  return { command, result, calls, observation, rule, later: later.length };
}

/** What the second fault comes to. It is passed for the first time after the first fault, as far as rules can tell. */
const secondOf = (command: Command, before: State, site: string): Rule | undefined =>
  ruleOf(command, before, { site, nth: 1 });

export const showFault = ({ site, nth }: Fault): string => `with a fault at ${site}, passage ${nth}`;

function executeFaulty(world: World, command: Command, fault: Fault, again: number): Result {
  const { faults } = world.machine.kernel;
  const number = world.history.length + 1;
  faults.arm(fault.nth, fault.site);
  faults.thenFail(again);
  try {
    const result = execute(world, command, number, fault);
    world.history.push({ command, fault, result });
    if (!faults.fired) {
      const passed = faults.passed.filter((site) => site === fault.site).length;
      throw new Divergence('fault', number, command, [`the fault is not met: ${fault.site} is passed ${passed} times`]);
    }
    return result;
  } finally {
    faults.disarm();
  }
}

/** Buffers that are usable where they should not be, or the reverse: a map would show it, if there were one. */
export function wrongStatus({ machine, state }: World): string[] {
  const wrong: string[] = [];
  for (const [name, source] of state.handles) {
    if (source?.is !== 'dmabuf') continue;
    const named = machine.names.get(name);
    const file = named !== undefined && 'fd' in named ? machine.fds.lookup(named.fd) : undefined;
    const dmabuf = file && dmaBufOf(file);
    const found = dmabuf && vfioPciDmaBufOf(dmabuf);
    if (found === undefined || found.revoked === revoked(state, source)) continue;
    wrong.push(`${name} should be ${found.revoked ? 'usable' : 'revoked'}, and is ${found.status}`);
  }
  return wrong;
}

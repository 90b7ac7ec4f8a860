/**
 * A trace replayed on both worlds: they must agree with each other as in any sequence, and with what the trace says
 * that a kernel answered, made its devices reach, and called its IOMMU driver for.
 */
import { DEFAULT_KERNEL, featuresOf } from '../impl/kernel/features.ts';
import { Splat } from '../impl/kernel/splat.ts';
import { reaches } from '../model/observe.ts';
import type { IommuCall, Reach } from '../trace/answer.ts';
import type { Handle } from '../trace/command.ts';
import { showReach } from '../trace/show.ts';
import { kernelOf, type Step, type Trace } from '../trace/trace.ts';
import { splitTarget } from '../trace/values.ts';
import { ALL, CallTally } from './call-tally.ts';
import { replayThreads } from './concurrent/replay.ts';
import { Divergence, showValue } from './divergence.ts';
import { performStep } from './faults/faults.ts';
import { reachOf, tracedCalls } from './observe.ts';
import { sameResult } from './perform.ts';
import { racedIn, replayRaced } from './raced-faults/kept.ts';
import { finish } from './walk.ts';
import { newWorld, type World } from './world.ts';

/** What became of a trace; `threads` is all that comes after its steps, and a remark is for a person. */
export type Verdict =
  | { readonly verdict: 'agree'; readonly steps: number; readonly remark?: string }
  | { readonly verdict: 'disagree'; readonly step: number | 'threads'; readonly details: readonly string[] }
  | { readonly verdict: 'skipped'; readonly because: string };

/** Replay a trace from its first step to its last; `kernel` overrules what the trace says it ran on. */
export function replay(trace: Trace, kernel: string = kernelOf(trace) ?? DEFAULT_KERNEL): Verdict {
  const unsupported = unsupportedIn(trace, kernel);
  if (unsupported !== undefined) return { verdict: 'skipped', because: unsupported };
  const world = newWorld(trace.machine, kernel);
  world.machine.kernel.poisons = true;
  const known = new Map<Handle, readonly Reach[]>();
  try {
    for (const step of trace.steps) {
      const wrong = replayStep(world, step, known);
      if (wrong.length > 0) return { verdict: 'disagree', step: world.history.length, details: wrong };
    }
    finish(world);
  } catch (error) {
    // Who looks at what is there may be the first to meet what is freed.
    if (error instanceof Splat) return { verdict: 'disagree', step: world.history.length, details: [error.message] };
    if (!(error instanceof Divergence)) throw error;
    return { verdict: 'disagree', step: error.step, details: [error.breach, ...error.details] };
  }
  const { steps, threads } = trace;
  if (threads === undefined) return { verdict: 'agree', steps: steps.length };
  const raced = racedIn(threads);
  const { wrong, remark } = raced === undefined ? replayThreads(world, threads) : replayRaced(world, raced);
  if (wrong.length > 0) return { verdict: 'disagree', step: 'threads', details: wrong };
  return { verdict: 'agree', steps: steps.length + threads.branches.flat().length, ...(remark && { remark }) };
}

/** What of a trace cannot be run; undefined when all can. */
export function unsupportedIn({ steps, threads }: Trace, kernel: string): string | undefined {
  if (featuresOf(kernel) === undefined) return `kernel ${kernel}`;
  if (threads?.branches.flat().some(isFaulty)) {
    if (racedIn(threads) === undefined) return 'a fault in threads, where several calls may meet it';
    if (steps.some(isFaulty)) return 'a fault in threads, and one before';
  }
  return steps.some(({ blocked }) => blocked !== undefined) ? 'blocked' : undefined;
}

const isFaulty = ({ fault }: Step): boolean => fault !== undefined;

/** One step; what differs from the recording, a line each. Fails with a Divergence when the worlds differ. */
function replayStep(world: World, step: Step, known: Map<Handle, readonly Reach[]>): string[] {
  const { result, calls } = performStep(world, step);
  if (step.result === undefined) return [];
  if (!sameResult(step.result, result)) {
    return [`expected ${showValue(step.result)}`, `got ${showValue(result)}`];
  }
  for (const [device, rows] of step.reach ?? []) known.set(device, rows);
  const recorded = (step.iommu ?? []).map(({ call }) => call);
  return [...wrongCalls(recorded, tracedCalls(world.machine, calls)), ...wrongReach(world, known)];
}

/** The calls of all domains are in one list; how they are batched does not count. */
function wrongCalls(recorded: readonly IommuCall[], got: readonly IommuCall[]): string[] {
  if (recorded.length + got.length === 0) return [];
  const tally = new CallTally();
  for (const call of recorded) count(tally, 'expected', call);
  for (const call of got) count(tally, 'got', call);
  return tally.firstDifference(false);
}

function count(tally: CallTally, side: 'expected' | 'got', call: IommuCall): void {
  if (call[0] === 'unmap') {
    tally.unmap(side, ALL, call[1], call[2]);
    return;
  }
  const [, iova, text, length] = call;
  const place = splitTarget(text);
  const memory = place === undefined ? text : place.bar === undefined ? place.of : `${place.of}:${place.bar}`;
  tally.map(side, ALL, iova, length, memory, place?.offset ?? 0n);
}

/** A device that a step does not name reaches what it reached before. */
function wrongReach({ machine, state }: World, known: ReadonlyMap<Handle, readonly Reach[]>): string[] {
  const wrong: string[] = [];
  for (const [device, rows] of known) {
    const expected = rows.map(showReach).join(', ');
    const implementation = reachOf(machine, device).map(showReach).join(', ');
    const model = reaches(state, device).map(showReach).join(', ');
    if (implementation !== expected) wrong.push(`${device} should reach [${expected}], got [${implementation}]`);
    if (model !== expected) wrong.push(`${device} should reach [${expected}], and in the model reaches [${model}]`);
  }
  return wrong;
}

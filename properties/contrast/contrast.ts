/**
 * Type 1 and dma-buf by the same steps, held against one invariant. Of what breaks it in random sequences, each kind is
 * shrunk to the fewest steps.
 *
 * Source: vfio-dmabuf 8.5, V-39, V-69
 */

import * as fc from 'fast-check';
import { neverMappedWhileRevoked } from '../../model/invariants.ts';
import { showCounterexample } from '../show-counterexample.ts';
import { DmabufLane } from './dmabuf.ts';
import type { Lane, Line } from './lane.ts';
import { type Step, sequences } from './step.ts';
import { Type1Lane } from './type1.ts';

/** What took memory away that a device went on reaching: the step, both ways of turning memory off being one. */
export type Kind = Step['do'];

/** A step, what it answered, what the peer reaches after it, and what of that breaks the invariant. */
export interface Taken {
  readonly step: Step;
  readonly lines: readonly Line[];
  readonly reach: readonly string[];
  readonly broken: readonly string[];
  /** Some of it is broken by this step, and not by an earlier one; why. */
  readonly breaks: boolean;
  readonly why: readonly string[];
}

export const type1 = (): Lane => new Type1Lane();
export const dmabuf = (): Lane => new DmabufLane();

/** Take all steps, and look after each. */
export function walkLane(lane: Lane, steps: readonly Step[]): Taken[] {
  const taken: Taken[] = [];
  let before = new Set<string>();
  for (const step of steps) {
    const lines = lane.take(step);
    const { broken, reasons } = look(lane);
    const why = [...reasons].filter(([page]) => !before.has(page)).map(([, reason]) => reason);
    before = new Set(reasons.keys());
    taken.push({ step, lines, reach: lane.reach, broken, breaks: why.length > 0, why });
  }
  return taken;
}

/** What is broken now, and for each page of it also why, as far as the lane knows. */
function look(lane: Lane): { readonly broken: string[]; readonly reasons: Map<string, string> } {
  const seen = lane.observe();
  const broken: string[] = [];
  const reasons = new Map<string, string>();
  for (const breach of neverMappedWhileRevoked.breaches(seen)) {
    const { domain, iova } = breach;
    broken.push(showCounterexample(breach));
    const pte = seen.ptes.find((it) => it.domain === domain && it.iova === iova);
    for (const reason of pte ? lane.takenBack(pte.offset) : ['not there']) {
      reasons.set(`${domain} 0x${iova.toString(16)} ${reason}`, reason);
    }
  }
  return { broken, reasons };
}

const kindsOf = (taken: readonly Taken[]): Kind[] => taken.filter(({ breaks }) => breaks).map(({ step }) => step.do);

/** What random sequences had: how often each step broke the invariant, and took from the peer what it reached. */
export interface Met {
  readonly broke: ReadonlyMap<Kind, number>;
  readonly took: ReadonlyMap<Kind, number>;
}

export function meet(make: () => Lane, seed: number, runs: number): Met {
  const [broke, took] = [new Map<Kind, number>(), new Map<Kind, number>()];
  const count = (map: Map<Kind, number>, kind: Kind): unknown => map.set(kind, (map.get(kind) ?? 0) + 1);
  fc.assert(
    fc.property(sequences, (steps) => {
      let before: readonly string[] = [];
      for (const { step, reach, breaks } of walkLane(make(), steps)) {
        if (breaks) count(broke, step.do);
        if (before.some((it) => !reach.includes(it))) count(took, step.do);
        before = reach;
      }
    }),
    { seed, numRuns: runs },
  );
  return { broke, took };
}

/** The fewest steps that break the invariant in this way; undefined when no sequence does. */
export function shrunk(make: () => Lane, kind: Kind, seed: number, runs: number): readonly Step[] | undefined {
  const never = fc.property(sequences, (steps) => !kindsOf(walkLane(make(), steps)).includes(kind));
  const { counterexample } = fc.check(never, { seed, numRuns: runs });
  return counterexample?.[0];
}

/** One counterexample, and the same steps by dma-buf. */
export interface Contrast {
  readonly kind: Kind;
  readonly type1: readonly Taken[];
  readonly dmabuf: readonly Taken[];
}

/** Every kind that type 1 breaks the invariant by, shrunk, with the fewest steps first. */
export function contrasts(seed: number, runs: number): Contrast[] {
  const kinds = [...meet(type1, seed, runs).broke.keys()];
  const all = kinds.map((kind) => {
    const steps = shrunk(type1, kind, seed, runs) ?? [];
    return { kind, type1: walkLane(type1(), steps), dmabuf: walkLane(dmabuf(), steps) };
  });
  const order = ({ kind, type1: { length } }: Contrast): string => `${length} ${kind}`;
  return all.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

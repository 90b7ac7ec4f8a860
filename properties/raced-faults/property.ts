/**
 * The property of faults that are raced: from every state, whatever fails in a call, and wherever a revoke comes in
 * between, the call and the revoke end as they may, the call then succeeds, and nothing is left.
 */
import * as fc from 'fast-check';
import { deviceNamed, home } from '../../model/names.ts';
import type { Command } from '../../trace/command.ts';
import type { Fault } from '../../trace/trace.ts';
import { faultCases } from '../faults/property.ts';
import { advance, crossing, type FaultCase } from '../faults/walk.ts';
import type { Regression } from '../regression.ts';
import { resolve } from '../resolve/resolve.ts';
import { finish, inWorld } from '../walk.ts';
import { newWorld } from '../world.ts';
import { type RacedCoverage, SITES } from './coverage.ts';
import { regressionOfRaced } from './kept.ts';
import { kindOf } from './kind.ts';
import type { RacedCall } from './race.ts';
import { REVOKE_NAMES, REVOKES, type Revoke, type RevokeName } from './revokes.ts';
import { MACHINE, SCENES, type Scene } from './scenes.ts';
import { pointsIn, RacedBreach, sweepRaced, type Take } from './sweep.ts';

type Start = Omit<RacedCall, 'call' | 'revoke'>;

/**
 * From every scene, each call by each site that it passes, against each kind of revoke: once each pair, at a place that
 * changes from one to the next, or all of them at every place. Fails with a RacedBreach.
 */
export function checkScenes(coverage: RacedCoverage, whole = false): void {
  let turn = 0;
  const next: Take = (places) => places.slice(turn % places.length, (turn++ % places.length) + 1);
  for (const scene of SCENES) {
    // Where the kernel has no revoke for good, that is done on the one that has.
    for (const kernel of new Set([scene.kernel, 'v4'])) {
      const start = startOf(scene, kernel);
      for (const call of scene.calls) {
        const points = pointsIn({ ...start, call });
        for (const name of REVOKE_NAMES) {
          if (kernel !== scene.kernel && name !== 'for good') continue;
          // The last passage of each site, when there is most to undo.
          const lasts = points.filter(({ site }, i) => points.findLastIndex((other) => other.site === site) === i);
          const fresh = lasts.filter(({ site }) => !coverage.has(call.do, site, name));
          sweep({ ...start, call }, name, 0, whole ? points : fresh, whole ? (all) => all : next, coverage);
        }
      }
    }
  }
}

function startOf({ before }: Scene, kernel: string): Start {
  const world = newWorld(MACHINE, kernel);
  for (const command of before) advance(world, command);
  return { config: MACHINE, kernel, before, state: world.state };
}

function sweep(
  start: Omit<RacedCall, 'revoke'>,
  name: RevokeName,
  which: number,
  points: readonly Fault[],
  places: Take,
  coverage: RacedCoverage,
): void {
  const revoke = REVOKES[name](start.state, which);
  if (revoke === undefined || unsettled(start, revoke)) return;
  const kind = kindOf(start.state);
  const see = (call: Command, fault: Fault): void => coverage.see(call.do, fault.site, name, kind);
  sweepRaced({ ...start, revoke }, points, places, see);
}

/**
 * An attach that fails has held the automatic domain of its IOAS for a while. If its last device closes in that while,
 * the close leaves the domain alone, and the attach does not look again: so it stays until the context closes. By the
 * documents it goes with its last user; as the kernel's functions are, it does not. Nothing is lost, so neither is
 * called wrong.
 */
function unsettled({ state, call }: Omit<RacedCall, 'revoke'>, { command }: Revoke): boolean {
  if (call.do !== 'vfio_attach' || command.do !== 'vfio_close' || call.dev === command.dev) return false;
  const domain = deviceNamed(state, command.dev).domain;
  return domain !== undefined && home(state, domain).space.name === call.pt;
}

/** A random case: the call of a sequence that fails, or one of a scene, and what comes in between. */
interface RacedCase {
  readonly drawn: FaultCase | readonly [scene: Scene, call: Command];
  readonly revoke: RevokeName;
  readonly which: number;
  /** Decides which points and places are taken. */
  readonly turn: number;
}

/** The most points of a call, and places of a revoke in it, that are taken in one case. */
const POINTS = 12;
const PLACES = 8;

const BY_HAND = SCENES.flatMap((scene) => scene.calls.map((call) => [scene, call] as const));

const cases = (longest: number): fc.Arbitrary<RacedCase> =>
  fc.record({
    drawn: fc.oneof(faultCases(longest), fc.constantFrom(...BY_HAND)),
    revoke: fc.constantFrom(...REVOKE_NAMES),
    which: fc.nat(7),
    turn: fc.nat(1023),
  });

export interface RacedOptions {
  readonly seed: number;
  /** How many random states. */
  readonly runs: number;
  /** The most intents that lead to one. */
  readonly longest: number;
}

export interface RacedFailure {
  /** For a person, with all that is needed to see it again. */
  readonly message: string;
  /** The same as a trace; not where the worlds disagree before there are two threads. */
  readonly regression?: Regression;
}

/** Random states until one fails, and that is shrunk. Deterministic. */
export function checkRaced({ seed, runs, longest }: RacedOptions, coverage: RacedCoverage): RacedFailure | undefined {
  let broken: string | undefined;
  const property = fc.property(cases(longest), (it) => {
    try {
      raceOne(it, coverage);
    } catch (error) {
      // While fast-check shrinks, only the same counts as a failure.
      const breach = error instanceof RacedBreach ? error.divergence.breach : String(error);
      broken ??= breach;
      if (breach === broken) throw error;
    }
  });
  const { failed, errorInstance } = fc.check(property, { seed, numRuns: runs });
  if (!failed) return undefined;
  if (errorInstance instanceof RacedBreach)
    return { message: errorInstance.message, regression: regressionOfRaced(errorInstance) };
  return { message: errorInstance instanceof Error ? errorInstance.message : String(errorInstance) };
}

function raceOne({ drawn, revoke, which, turn }: RacedCase, coverage: RacedCoverage): void {
  const start = 'intents' in drawn ? ended(drawn) : { ...startOf(drawn[0], drawn[0].kernel), call: drawn[1] };
  const { call } = start;
  if (!(call.do in SITES) || (call.do === 'vfio_hot_reset' && 'intents' in drawn)) return;
  const few =
    (most: number): Take =>
    (all) =>
      all.filter((_, i) => (i + turn) % Math.ceil(all.length / most) === 0);
  sweep(start, revoke, which, few(POINTS)(pointsIn(start)), few(PLACES), coverage);
}

/** At the end of a random sequence. */
function ended({ config, kernel, intents, lead, last }: FaultCase): Omit<RacedCall, 'revoke'> {
  const world = newWorld(config, kernel);
  const call = inWorld(world, () => {
    for (const intent of [...intents, ...lead]) advance(world, resolve(intent, world.state));
    finish(world);
    return crossing(resolve(last, world.state), last);
  });
  const before = world.history.map(({ command }) => command);
  return { config, kernel, before, state: world.state, call };
}

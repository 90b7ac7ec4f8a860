/** Every fault point of a call, at every place of a revoke. */
import type { Command } from '../../trace/command.ts';
import { showCommand } from '../../trace/show.ts';
import type { Fault } from '../../trace/trace.ts';
import { Divergence } from '../divergence.ts';
import { pointsOf, showFault } from '../faults/faults.ts';
import { Judge } from './judge.ts';
import { begin, type Place, type Raced, type RacedCall, race, SEQUENTIAL } from './race.ts';

/** A race that did not end as it may. The message has all that is needed to see it again. */
export class RacedBreach extends Error {
  override readonly name = 'RacedBreach';
  readonly it: RacedCall;
  readonly fault: Fault;
  readonly place: Place;
  readonly divergence: Divergence;

  constructor(it: RacedCall, fault: Fault, place: Place, divergence: Divergence) {
    super(messageOf(it, fault, place, divergence));
    this.it = it;
    this.fault = fault;
    this.place = place;
    this.divergence = divergence;
  }
}

/** Told of every race that was judged. */
export type RacedWitness = (call: Command, fault: Fault, raced: Raced) => void;

/** Those that are taken of all: every one, or a few. */
export type Take = <T>(all: readonly T[]) => readonly T[];

/** The fault points that the call passes with nobody else there. */
export function pointsIn(it: Omit<RacedCall, 'revoke'>): readonly Fault[] {
  const world = begin(it);
  return pointsOf(world, it.call).points;
}

/** The call with each of these faults, at each place that is taken of all. Fails with a RacedBreach. */
export function sweepRaced(it: RacedCall, points: readonly Fault[], take: Take, witness?: RacedWitness): void {
  const judge = new Judge(it);
  for (const fault of points) {
    const places = telling(it, fault, ONE_AFTER_THE_OTHER, () => placesOf(it, fault));
    for (const place of take(places)) {
      telling(it, fault, place, () => {
        const raced = race(it, fault, place);
        judge.judge(raced, fault, place.after);
        witness?.(it.call, fault, raced);
      });
    }
  }
}

/** What is wrong in the work is told with all that leads to it. */
function telling<T>(it: RacedCall, fault: Fault, place: Place, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Divergence)) throw error;
    throw new RacedBreach(it, fault, place, error);
  }
}

const ONE_AFTER_THE_OTHER: Place = { first: 'call', after: SEQUENTIAL };

/**
 * Where the revoke can come between the steps of the call that has this fault, and the call between those of the
 * revoke: first when the call has just failed and undoes what it has done; last, one after the other.
 */
function placesOf(it: RacedCall, fault: Fault): readonly Place[] {
  const { steps, failedAt } = race(it, fault, ONE_AFTER_THE_OTHER);
  const within = Array.from({ length: steps.call }, (_, after): Place => ({ first: 'call', after }));
  const around = Array.from({ length: steps.revoke - 1 }, (_, i): Place => ({ first: 'revoke', after: i + 1 }));
  return [...within.slice(failedAt), ...within.slice(0, failedAt), ...around, ONE_AFTER_THE_OTHER];
}

function messageOf(it: RacedCall, fault: Fault, { first, after }: Place, { message }: Divergence): string {
  const { kernel, before, call, revoke } = it;
  const shown = before.map((command, i) => `${String(i + 1).padStart(4)}  ${showCommand(command)}`);
  return [
    `behaving as Linux ${kernel}:`,
    ...shown,
    `      the call:   ${showCommand(call)}, ${showFault(fault)}`,
    `      the revoke: ${showCommand(revoke.command)}`,
    after === SEQUENTIAL ? 'one after the other' : `the ${first} goes first, and after ${after} of its steps the other`,
    message,
  ].join('\n');
}

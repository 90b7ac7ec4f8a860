/**
 * Whether both worlds are the same after a step: what devices reach, the calls that the domains got, the invariants,
 * and the lifetime rules. The usual comparison looks at what the step changed: everything that the model changed, and
 * everything that a call to a domain touched. The whole one looks at everything.
 */
import type { DomainCall } from '../impl/iommu/domain.ts';
import {
  type AreaSeen,
  type CpuPte,
  invariants,
  neverMappedWhileRevoked,
  type Observation,
  type Pte,
} from '../model/invariants.ts';
import type { Area, State } from '../model/spec.ts';
import type { Command } from '../trace/command.ts';
import { type Calls, wrongCalls } from './calls.ts';
import { changesBetween, effectsOf } from './changes.ts';
import { Divergence } from './divergence.ts';
import { type Looked, look, places, wholePlaces } from './look.ts';
import { callsSeen } from './observe.ts';
import { lookAtCpu, wrongCpu } from './observe-cpu.ts';
import { revokedMemory, seenArea } from './promise.ts';
import { firstDifference } from './same-reach.ts';
import { showCounterexample } from './show-counterexample.ts';
import { changedSpaces, survivors, wholeSpaces, wrongAreas, wrongDomains } from './structure.ts';
import type { World } from './world.ts';

/** How one step is looked at. */
export interface Look {
  readonly command: Command | undefined;
  /** The step was refused, and may have undone what it had begun. */
  readonly refused: boolean;
  /** Look at everything. */
  readonly whole: boolean;
}

/** What was looked at. Fails with a Divergence that names what is broken. */
export function agree(world: World, before: State, made: readonly DomainCall[], it: Look): Observation {
  const { machine, state } = world;
  const must: Must = (breach, wrong) => {
    if (wrong.length > 0) throw new Divergence(breach, world.history.length, it.command, wrong);
  };
  const changes = changesBetween(before, state);
  const effects = effectsOf(changes);
  const calls = made.length === 0 ? NO_CALLS : callsSeen(machine, made);
  const where = it.whole ? wholePlaces(world) : places(world, effects, calls);
  const looked = where.length === 0 ? NOTHING_LOOKED_AT : where.map((place) => look(world, place));
  const was = world.cpu;
  const { ptes: cpu } = lookAtCpu(world, it.whole);
  const cpuChanged = cpu !== was?.ptes;
  const anything = looked.length > 0 || (cpuChanged && cpu.length > 0);
  const observation = anything ? observationOf(world, looked, calls, cpu) : NOTHING_SEEN;

  // The invariants come first, because a failure is named after what it breaks.
  if (anything) judge(observation, must);
  must(neverMappedWhileRevoked.name, survivors(before, state, it.command, cpu));
  if (effects.length + made.length > 0) must('calls', wrongCalls(effects, calls, it.refused));
  must('reach', wrongDomains(world));
  if (cpuChanged) must('reach', wrongCpu(state, cpu));
  for (const place of looked) must('reach', firstDifference(place));
  const spaces = it.whole ? wholeSpaces(world) : changedSpaces(changes);
  for (const space of spaces) must('areas', wrongAreas(world, space));
  must('audit', machine.audit(it.whole));
  return observation;
}

type Must = (breach: string, wrong: readonly string[]) => void;

const NO_CALLS: Calls = { maps: [], unmaps: [] };
const NOTHING_LOOKED_AT: readonly Looked[] = [];

/** What is seen after a step that touched no domain. */
const NOTHING_SEEN: Observation = { ptes: [], areas: [], revoked: [], cpu: [], ...NO_CALLS, keepsMmio: true };

function judge(observation: Observation, must: Must): void {
  for (const { name, breaches } of invariants) {
    const found = breaches(observation);
    if (found.length > 0) must(name, found.map(showCounterexample));
  }
}

function observationOf(
  { machine, state }: World,
  looked: readonly Looked[],
  { maps, unmaps }: Calls,
  cpu: readonly CpuPte[],
): Observation {
  const ptes: Pte[] = [];
  const areas: AreaSeen[] = [];
  let before: Looked | undefined;
  for (const place of looked) {
    for (const pte of place.ptes) ptes.push(pte);
    // Domains of one IOAS show the same areas; mostly they stand next to each other.
    const same = before !== undefined && sameAreas(before.areas, place.areas);
    if (same) for (const area of areas.slice(-place.areas.length)) (area.domains as string[]).push(place.name);
    else for (const area of place.areas) areas.push(seenArea(place, area));
    before = place;
  }
  const keepsMmio = machine.kernel.features.dmabufKeepsMmio;
  return { ptes, areas, revoked: revokedMemory(state), cpu, maps, unmaps, keepsMmio };
}

const sameAreas = (a: readonly Area[], b: readonly Area[]): boolean =>
  a.length > 0 && a.length === b.length && a.every((area, i) => area === b[i]);

/**
 * What a trace must keep to that no schema sees: its machine makes sense, every name was given before it is used,
 * every device exists, and what a device reaches is sorted.
 */
import type { Reach } from './answer.ts';
import type { Handle } from './command.ts';
import type { MachineConfig } from './machine-config.ts';
import { gives, Names, succeeded, uses } from './names.ts';
import type { Step, Threads, Trace } from './trace.ts';
import { splitTarget } from './values.ts';

/** What is wrong and where: the path as in the file, and a sentence about what is found there. */
export interface Flaw {
  readonly path: readonly PropertyKey[];
  readonly wrong: string;
}

type Path = readonly PropertyKey[];

/** Everything wrong with a trace that its schema accepts, in the order of the file. */
export function* flaws({ machine, steps, threads }: Trace): Generator<Flaw> {
  yield* machineFlaws(machine);
  const names = new Names(machine);
  for (const [at, step] of steps.entries()) yield* stepFlaws(names, step, at + 1, ['steps', at]);
  if (!threads) return;
  yield* branchFlaws(names, threads, steps.length);
  yield* scheduleFlaws(threads);
}

const powerOfTwo = (n: bigint): boolean => n > 0n && (n & (n - 1n)) === 0n;
const show = (n: bigint): string => `0x${n.toString(16)}`;
const noDevice = (name: Handle): string => `the machine has no device "${name}"`;

function* machineFlaws({ pageSize, pageSizes, aperture, reserved, devices }: MachineConfig): Generator<Flaw> {
  if (!powerOfTwo(pageSize)) yield { path: ['machine', 'page_size'], wrong: `${show(pageSize)} is not a power of two` };

  const sizes = ['machine', 'iommu', 'page_sizes'];
  if (pageSizes.length === 0) yield { path: sizes, wrong: 'no page sizes' };
  for (const [i, size] of pageSizes.entries()) {
    const previous = pageSizes[i - 1] ?? 0n;
    if (!powerOfTwo(size)) yield { path: [...sizes, i], wrong: `${show(size)} is not a power of two` };
    if (size <= previous) yield { path: [...sizes, i], wrong: `${show(size)} after ${show(previous)}, not ascending` };
  }

  const intervals = [
    { path: ['machine', 'iommu', 'aperture'], interval: aperture },
    ...reserved.map((interval, i) => ({ path: ['machine', 'reserved', i], interval })),
  ];
  for (const { path, interval } of intervals) {
    const [first, last] = interval;
    if (first > last) yield { path, wrong: `starts at ${show(first)}, after its last byte ${show(last)}` };
  }
  for (const [name, { bars }] of devices) {
    for (const [bar, size] of bars) {
      if (size === 0n) yield { path: ['machine', 'devices', name, 'bars', String(bar)], wrong: 'a BAR without bytes' };
    }
  }
}

/** A branch uses what the steps before it gave and what it gave itself; no two branches give the same name. */
function* branchFlaws(before: Names, { branches }: Threads, steps: number): Generator<Flaw> {
  const owners = new Map<Handle, number>();
  for (const [number, branch] of branches.entries()) {
    const names = new Names(before.machine, before);
    for (const [at, step] of branch.entries()) {
      const path = ['threads', 'branches', number, at];
      yield* stepFlaws(names, step, steps + at + 1, path);
      for (const [key, name] of gives(step.command)) {
        const other = owners.get(name) ?? number;
        if (other !== number) yield { path: [...path, key], wrong: `branch ${other + 1} gives "${name}", too` };
        owners.set(name, other);
      }
    }
  }
}

/** There are never more places round the run queue than branches; a schedule of other branches names too many. */
function* scheduleFlaws({ branches, schedule }: Threads): Generator<Flaw> {
  for (const [at, { to }] of schedule.entries()) {
    const wrong = `hands over ${to} places round the run queue, and there are ${branches.length} branches`;
    if (to >= branches.length) yield { path: ['threads', 'schedule', at, 'to'], wrong };
  }
}

/** Checks a step, and takes note of the names it gives. */
function* stepFlaws(names: Names, step: Step, number: number, path: Path): Generator<Flaw> {
  const { command, result } = step;
  for (const [key, name] of uses(command)) {
    if (key === 'dev' && !names.hasDevice(name)) yield { path: [...path, key], wrong: noDevice(name) };
    if (key !== 'dev' && !names.has(name)) yield { path: [...path, key], wrong: `no earlier step gives "${name}"` };
  }
  for (const [key, name] of gives(command)) {
    const since = succeeded(step) ? names.liveSince(name) : undefined;
    if (names.machine.devices.has(name)) yield { path: [...path, key], wrong: `"${name}" is a device of the machine` };
    if (since !== undefined) yield { path: [...path, key], wrong: `"${name}" still names what step ${since} gave` };
  }
  names.pass(step, number);

  if (result && 'ok' in result) {
    if (result.ok.target) yield* targetFlaws(names, result.ok.target, [...path, 'ok', 'target']);
    if (result.ok.value) yield* targetFlaws(names, result.ok.value, [...path, 'ok', 'value']);
  }
  for (const [i, { call }] of (step.iommu ?? []).entries()) {
    if (call[0] === 'map') yield* targetFlaws(names, call[2], [...path, 'iommu', i]);
  }
  for (const [device, entries] of step.reach ?? []) {
    if (!names.hasDevice(device)) yield { path: [...path, 'reach', device], wrong: noDevice(device) };
    yield* reachFlaws(names, entries, [...path, 'reach', device]);
  }
}

function* reachFlaws(names: Names, entries: readonly Reach[], path: Path): Generator<Flaw> {
  let free = 0n;
  for (const [i, [iova, target, length]] of entries.entries()) {
    if (length === 0n) yield { path: [...path, i], wrong: 'reaches no bytes' };
    if (iova < free) yield { path: [...path, i], wrong: `starts at ${show(iova)}, before the entry above it ends` };
    free = iova + length;
    if (free > 2n ** 64n) yield { path: [...path, i], wrong: 'runs past the end of the address space' };
    yield* targetFlaws(names, target, [...path, i]);
  }
}

function* targetFlaws(names: Names, target: string, path: Path): Generator<Flaw> {
  const place = splitTarget(target);
  if (!place) return;
  const { of, bar } = place;
  const device = names.machine.devices.get(of);
  if (bar !== undefined && !device) yield { path, wrong: noDevice(of) };
  if (bar !== undefined && device && !device.bars.has(bar)) yield { path, wrong: `${of} has no BAR ${bar}` };
  if (bar === undefined && !names.has(of)) yield { path, wrong: `no earlier step gives "${of}"` };
}

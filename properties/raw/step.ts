/**
 * One raw call, and what must hold after it: an answer, the invariants, every live area whole in every domain, nothing
 * changed by what was refused, and, every few calls, the lifetime rules.
 */

import type { DomainCall } from '../../impl/iommu/domain.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { bytes } from '../../impl/kernel/units.ts';
import { invariants } from '../../model/invariants.ts';
import { crashOf } from '../crash.ts';
import { showCounterexample } from '../show-counterexample.ts';
import { type CallName, callName, type RawCall } from './calls.ts';
import { fingerprint, type Imports, missing, observe } from './observe.ts';
import { ARGUMENTS, ARRAYS, type RawWorld } from './world.ts';

/** The name of what was called; `other` for a number that is nobody's on that descriptor, `EBADF` without one. */
export type Called = CallName | 'other' | 'no descriptor';

/** Something that no call may lead to. `history` has every call before it, for a person. */
export class RawBreach extends Error {
  readonly breach: string;
  history: readonly string[] = [];

  constructor(breach: string, lines: readonly string[]) {
    super([breach, ...lines.map((line) => `  ${line}`)].join('\n'));
    this.name = 'RawBreach';
    this.breach = breach;
  }
}

export interface Answered {
  readonly called: Called;
  readonly answer: number | Errno;
}

/** Make the call, and look at what it led to. Fails with a RawBreach. */
export function makeCall(world: RawWorld, call: RawCall, imports: Imports): Answered {
  const { machine, calls } = world;
  const kind = world.kindOf(call.fd);
  const called = kind === undefined ? 'no descriptor' : (callName(kind, call.number) ?? 'other');
  const before = world.fingerprint ?? fingerprint(machine);
  calls.memory.clear();
  calls.memory.map(ARGUMENTS, call.bytes, call.writable);
  if (call.array !== undefined) calls.memory.map(ARRAYS, call.array);
  const argument = call.value === undefined ? ARGUMENTS : bytes(call.value);
  const answer = guarded(() => calls.ioctl(call.fd, call.number, argument));
  const made = machine.takeCalls();
  if (called === 'IOAS_MAP_FILE') imports.see(machine);
  world.fingerprint = fingerprint(machine);
  if (isErrno(answer) && !mayChange(called, answer) && world.fingerprint !== before) {
    throw new RawBreach('a refused call has changed something', [`${called} answers ${answer}`]);
  }
  if (called === 'FEATURE' && !isErrno(answer) && answer > 0) world.opened(answer);
  judge(world, imports, made, !isErrno(answer) && maySwitchOff(called));
  return { called, answer };
}

/** A refusal that comes after the effect, or in the middle of it. */
function mayChange(called: Called, errno: Errno): boolean {
  switch (called) {
    case 'IOAS_MAP':
    case 'IOAS_MAP_FILE':
    case 'IOAS_COPY':
    case 'OPTION':
      return errno === 'EFAULT';
    case 'IOAS_UNMAP':
      return errno === 'EFAULT' || errno === 'ENOENT';
    case 'IOMMU_UNMAP_DMA':
      // A first cut stays when the second is refused.
      return errno !== 'ENODEV' && errno !== 'EBUSY';
    case 'ATTACH_PT':
      return errno === 'EFAULT';
    default:
      return false;
  }
}

/** A call that takes memory away, whether or not any domain hears of it. */
const maySwitchOff = (called: Called): boolean =>
  called === 'RESET' || called === 'PCI_HOT_RESET' || called === 'FEATURE';

/** What the implementation throws is never an answer. */
export function guarded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof Splat) throw new RawBreach('splat', [error.message]);
    throw new RawBreach('crash', crashOf(error));
  }
}

/** The invariants, where the calls to domains touched something, or everywhere. Fails with a RawBreach. */
export function judge({ machine }: RawWorld, imports: Imports, made: readonly DomainCall[], whole: boolean): void {
  if (made.length === 0 && !whole) return;
  const seen = observe(machine, imports, made, whole);
  for (const { name, breaches } of invariants) {
    const found = breaches(seen);
    if (found.length > 0) {
      throw new RawBreach(name, found.map(showCounterexample));
    }
  }
  const untranslated = missing(seen);
  if (untranslated.length > 0) throw new RawBreach('a live area is not mapped', untranslated);
}

/** All of it, and the lifetime rules. Fails with a RawBreach. */
export function judgeAll(world: RawWorld, imports: Imports): void {
  judge(world, imports, [], true);
  const breaches = world.machine.audit();
  if (breaches.length > 0) throw new RawBreach('audit', breaches);
}

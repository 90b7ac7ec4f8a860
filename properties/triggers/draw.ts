/** How fast-check draws sequences of triggers: small numbers, made into steps that mean something to the ghost. */
import * as fc from 'fast-check';
import type { PowerState } from '../../impl/vfio/pci-device.ts';
import { pick } from '../view.ts';
import type { Ghost, GhostDevice } from './ghost.ts';
import { FAULTS, type Fault, type Kind, type Step } from './step.ts';

/** How often each step is meant, of 100. */
const MIX: readonly (readonly [string, number])[] = [
  ['command', 14],
  ['power', 12],
  ['export', 9],
  ['attach', 8],
  ['map', 8],
  ['touch', 8],
  ['lpEnter', 7],
  ['hotReset', 6],
  ['reset', 6],
  ['lpExit', 4],
  ['flr', 3],
  ['afFlr', 3],
  ['fence', 3],
  ['wake', 2],
  ['sriov', 2],
  ['close', 2],
  ['closeFd', 1],
  ['unmap', 1],
  ['backdoor', 1],
];
const WEIGHTED = MIX.flatMap(([what, weight]) => Array<string>(weight).fill(what));

export interface Draw {
  readonly what: number;
  readonly which: number;
  readonly how: number;
  readonly fault: number;
}

const field = fc.nat(255);
export const draws = (longest: number): fc.Arbitrary<Draw[]> =>
  fc.array(fc.record({ what: fc.nat(WEIGHTED.length - 1), which: field, how: field, fault: field }), {
    maxLength: longest,
    size: 'max',
  });

/** One simple device in two; three functions of one set, two of them in one group, and a fourth apart. */
export const kinds: fc.Arbitrary<Kind[]> = fc.array(fc.nat(63), { minLength: 4, maxLength: 4 }).map((bits) =>
  bits.map((n, i) => ({
    virtual: (n & 1) !== 0,
    flr: (n & 2) === 0,
    afFlr: (n & 4) !== 0,
    pmReset: (n & 8) === 0,
    d3hot: (n & 16) === 0,
    linkFails: (n & 32) !== 0,
    set: i === 3 ? 1 : 0,
    group: i === 0 ? 0 : i === 3 ? 2 : 1,
  })),
);

const POWERS: readonly PowerState[] = [3, 0, 3, 1, 0, 2];

/** The step of a draw; undefined when there is nothing that it could be about. */
export function stepOf(draw: Draw, ghost: Ghost): Step | undefined {
  const what = WEIGHTED[draw.what] as string;
  const fault = FAULTS[47 - (draw.fault % 48)];
  const step = aboutBuffer(what, draw, ghost) ?? aboutDevice(what, draw, ghost);
  return step === undefined || fault === undefined ? step : faulty(step, fault);
}

/** Only what the step comes to may go wrong in it. */
function faulty(step: Step, fault: Fault): Step {
  return 'dev' in step && step.do !== 'export' && step.do !== 'touch' ? { ...step, fault } : step;
}

function aboutBuffer(what: string, { which, how }: Draw, { buffers }: Ghost): Step | undefined {
  const open = buffers.flatMap(({ files }, buf) => (files ? [buf] : []));
  const buf = pick(open, which);
  if (buf === undefined) return undefined;
  switch (what) {
    case 'fence':
      return { do: how % 8 === 7 ? 'signal' : 'fence', buf, usage: (how % 4) as 0 | 1 | 2 | 3 };
    case 'attach':
      return (buffers[buf]?.calls.length ?? 0) < 3 ? { do: 'attach', buf } : { do: 'map', buf };
    case 'map':
      return { do: how % 16 !== 15 && buffers[buf]?.calls.length === 0 ? 'attach' : 'map', buf };
    case 'unmap':
    case 'closeFd':
      return { do: what, buf };
    default:
      return undefined;
  }
}

function aboutDevice(what: string, { which, how }: Draw, { devices, buffers }: Ghost): Step | undefined {
  const opened = devices.flatMap(({ ctx }, dev) => (ctx === undefined ? [] : [dev]));
  // What is not open is opened now and then, and met by a call seldom.
  const closed = devices.flatMap(({ ctx }, dev) => (ctx === undefined ? [dev] : []));
  if (closed.length > 0 && (opened.length === 0 || which % 8 === 7)) {
    const dev = pick(closed, how) as number;
    return how % 32 === 31 ? { do: 'wake', dev } : { do: 'open', dev, ctx: how % 8 === 7 ? 1 : 0 };
  }
  const dev = pick(opened, which) as number;
  switch (what) {
    case 'command':
      return how % 8 === 7
        ? { do: 'command', dev, offset: 5, count: 1, value: how & 6 }
        : { do: 'command', dev, offset: 4, count: how % 8 === 6 ? 1 : 2, value: (how & 16) === 0 ? 1 : 3 };
    case 'power':
      return { do: 'power', dev, state: POWERS[how % POWERS.length] as PowerState };
    case 'lpEnter':
      return { do: 'lpEnter', dev, wakeup: how % 2 === 0 };
    case 'sriov':
      return { do: 'sriov', dev, on: (devices[dev] as GhostDevice).power === 0 && how % 3 !== 0 };
    case 'hotReset':
      return how % 4 === 0 ? { do: 'hotReset', dev, busy: otherThan(dev, how, devices) } : { do: 'hotReset', dev };
    case 'reset':
    case 'flr':
    case 'afFlr':
    case 'lpExit':
    case 'wake':
    case 'touch':
    case 'close':
    case 'backdoor':
      return { do: what, dev };
    default:
      return buffers.length < 6 ? { do: 'export', dev } : undefined;
  }
}

/** Another device, awake: whoever sleeps is woken before anybody looks at its lock, which would wait for the reader. */
function otherThan(dev: number, how: number, devices: readonly GhostDevice[]): number {
  const others = devices.flatMap(({ ctx, engaged }, i) => (i !== dev && ctx !== undefined && !engaged ? [i] : []));
  return pick(others, how >> 2) ?? -1;
}

/**
 * How fast-check draws sequences with importers: a record of small numbers, made into a step that means something in
 * the state that the oracle is in.
 */
import * as fc from 'fast-check';
import { IMPORTER_KINDS, type ImporterKind } from '../../impl/importers/importer.ts';
import { pick } from '../view.ts';
import type { OracleDevice } from './devices.ts';
import { type Buffer, type Party, type Pending, USAGES } from './oracle.ts';
import type { Scene } from './scene.ts';
import type { Step } from './steps.ts';

/** How often each step is meant, of 100. */
const MIX: readonly (readonly [Step['do'], number])[] = [
  ['map', 13],
  ['attach', 11],
  ['signal', 12],
  ['unmap', 9],
  ['submit', 8],
  ['memory', 8],
  ['export', 6],
  ['detach', 3],
  ['import sync file', 3],
  ['map area', 4],
  ['unmap area', 2],
  ['reset', 2],
  ['power', 2],
  ['hot reset', 2],
  ['low power entry', 1],
  ['low power exit', 1],
  ['wake', 1],
  ['FLR', 1],
  ['pin', 1],
  ['close', 4],
  ['device close', 3],
  ['device open', 2],
  ['revoke for good', 2],
  ['lock elsewhere', 2],
  ['removal', 1],
];
const WEIGHTED = MIX.flatMap(([what, weight]) => Array<Step['do']>(weight).fill(what));

/** Those that are refused come seldom. */
const KINDS: readonly ImporterKind[] = [...IMPORTER_KINDS, 'prompt', 'prompt', 'late', 'late', 'late', 'never'];

/** While so many wait, only what lets somebody go on is drawn. */
const MOST_WAITING = 10;

export interface Draw {
  readonly what: number;
  readonly pick: number;
  readonly how: number;
  /** Whose turn it is first. */
  readonly first: number;
}

const field = fc.nat(1023);
export const draws = (longest: number): fc.Arbitrary<Draw[]> =>
  fc.array(fc.record({ what: fc.nat(WEIGHTED.length - 1), pick: field, how: field, first: fc.nat(15) }), {
    maxLength: longest,
    size: 'max',
  });

/** The step of a draw, number `at` of the sequence; undefined when there is nothing that it could be about. */
export function stepOf(draw: Draw, scene: Scene, at: number): Step | undefined {
  const { oracle, devices } = scene;
  const drawn = WEIGHTED[draw.what] as Step['do'];
  const dev = pick(
    devices.filter((it) => (drawn === 'device open' ? it.closed : it.fd && (drawn !== 'removal' || !it.removed))),
    draw.pick,
  );
  // Behind a revoke an export only waits; a buffer on its way out is one that the revoke has to pass over.
  const locked = devices.some(({ memoryLock }) => memoryLock.holder !== undefined);
  const what = drawn === 'export' && locked && draw.how % 2 === 0 ? 'close' : drawn;
  const crowded = oracle.actors.length >= MOST_WAITING;
  if (crowded || what === 'signal') return signal(draw, oracle.fences) ?? unmap(draw, oracle.parties);
  if (what === 'unmap') return unmap(draw, oracle.parties);
  const buffer = pick(
    oracle.buffers.filter(({ fd }) => fd),
    draw.pick,
  );
  if (what === 'revoke for good') return revokeForGood(draw, dev, buffer);
  return (
    deviceStep(what, draw, dev, at) ?? bufferStep(what, draw, buffer, at) ?? partyStep(what, draw, oracle.parties, at)
  );
}

/** Work that hangs, of a device or behind a fence of user space: it is done when the sequence is over. */
const HUNG = 'hung-';

function signal({ pick: n }: Draw, fences: readonly Pending[]): Step | undefined {
  const fence = pick(
    fences.filter(({ name, signaled }) => !signaled && !name.startsWith(HUNG)),
    n,
  );
  return fence && { do: 'signal', fence: fence.name };
}

/** One that never unmaps is never asked to. */
function unmap({ pick: n }: Draw, parties: readonly Party[]): Step | undefined {
  const owing = parties.filter(({ kind, maps, busy }) => maps > 0 && !busy && kind !== 'never');
  const it = pick(owing, n);
  return it && { do: 'unmap', importer: it.name };
}

/** Mostly by the device that exported it; never by one that sleeps: its descriptor may be another's when it wakes. */
function revokeForGood({ how }: Draw, it: OracleDevice | undefined, buffer: Buffer | undefined): Step | undefined {
  const own = buffer?.dev?.name;
  if (it === undefined || buffer === undefined || it.users === 0) return undefined;
  if (how % 8 !== 0 && own !== it.name) return undefined;
  return { do: 'revoke for good', dev: it.name, buffer: buffer.handle };
}

function deviceStep(what: Step['do'], { how }: Draw, it: OracleDevice | undefined, at: number): Step | undefined {
  if (it === undefined) return undefined;
  const dev = it.name;
  switch (what) {
    case 'export':
      return { do: what, dev, as: `b${at}`, ranges: how % 4 === 3 ? 2 : 1 };
    case 'memory':
      return { do: what, dev, on: it.memory ? how % 8 === 7 : how % 8 !== 7 };
    case 'lock elsewhere':
      return { do: what, dev, on: !it.lockedElsewhere };
    case 'power':
      return { do: what, dev, state: [3, 3, 0, 0, 0, 1, 2][how % 7] as 0 | 1 | 2 | 3 };
    case 'low power entry':
      return { do: what, dev, wakeup: how % 2 === 0 };
    case 'reset':
    case 'FLR':
    case 'hot reset':
    case 'wake':
    case 'low power exit':
    case 'device open':
    case 'removal':
      return { do: what, dev };
    case 'device close':
      // It needs the lock of the bus, for which there is somebody to wait now.
      return how % 2 === 0 || it.memoryLock.holder !== undefined ? { do: what, dev } : undefined;
    default:
      return undefined;
  }
}

function bufferStep(what: Step['do'], { how }: Draw, it: Buffer | undefined, at: number): Step | undefined {
  if (it === undefined) return undefined;
  const buffer = it.handle;
  switch (what) {
    case 'close':
      return { do: what, buffer };
    case 'attach': {
      const kind = KINDS[how % KINDS.length] as ImporterKind;
      return { do: what, as: `${kind.replace(' ', '-')}${at}`, kind, buffer };
    }
    case 'import sync file':
      return { do: what, buffer, as: `${how % 3 === 0 ? HUNG : ''}s${at}`, write: how % 2 === 0 };
    case 'map area':
      return { do: what, area: `a${at}`, buffer };
    default:
      return undefined;
  }
}

function partyStep(what: Step['do'], { pick: n, how }: Draw, parties: readonly Party[], at: number): Step | undefined {
  const idle = parties.filter(({ busy }) => !busy);
  const area = pick(
    idle.filter(({ kind }) => kind === 'iommufd'),
    n,
  );
  if (what === 'unmap area') return area && { do: what, area: area.name, buffer: '' };
  const importers = idle.filter(({ kind }) => kind !== 'iommufd');
  // Who never unmaps does not detach, either, while something is mapped.
  const able = what === 'detach' ? importers.filter(({ kind, maps }) => kind !== 'never' || maps === 0) : importers;
  const importer = pick(able, n)?.name;
  if (importer === undefined) return undefined;
  switch (what) {
    case 'pin':
    case 'map':
    case 'detach':
      return { do: what, importer };
    case 'submit':
      return {
        do: what,
        importer,
        as: `${how % 3 === 0 ? HUNG : ''}f${at}`,
        usage: USAGES[how % 4] as (typeof USAGES)[number],
      };
    default:
      return undefined;
  }
}

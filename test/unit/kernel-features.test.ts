/** The version table: when each switch comes on, and what iommufd does with it on and off. Source: iommufd 0.1 */
import { describe, expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import { DEFAULT_KERNEL, type Feature, type Features, featuresOf } from '../../impl/kernel/features.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { OFF, unmap } from '../../properties/races/steps.ts';
import type { Command } from '../../trace/command.ts';
import { A, attached, mapFileOf, Rig, removed } from './iommufd-rig.ts';

const SINCE_7_1: readonly Feature[] = ['importerPins', 'unmapMovesUp', 'revokeDrains', 'attachNeedsRevocable'];
const SINCE_7_1_5: readonly Feature[] = [...SINCE_7_1, 'unpinHoldsResv', 'mutexOutlivesDetach'];
const SINCE_7_2: readonly Feature[] = [...SINCE_7_1_5, 'accessRejectsDmabuf'];
const SINCE_7_3: readonly Feature[] = [...SINCE_7_2, 'dmabufKeepsMmio', 'dirtyLengthChecked'];
const V4_LITERAL: readonly Feature[] = [
  ...SINCE_7_3,
  'mapsBuffers',
  'mmapNeedsUsable',
  'revokesForGood',
  'buffersFirst',
  'restoresSilently',
];
const V4: readonly Feature[] = [...V4_LITERAL, 'zapsEveryMapping'];

describe('the version table', () => {
  test.each<[version: string, on: readonly Feature[]]>([
    ['6.19', []],
    ['6.19.99', []],
    ['7.0.12', []],
    ['7.1', SINCE_7_1],
    ['7.1.4', SINCE_7_1],
    ['7.1.5', SINCE_7_1_5],
    ['7.1.13', SINCE_7_1_5],
    ['7.2', SINCE_7_2],
    ['7.2.13', SINCE_7_2],
    [DEFAULT_KERNEL, SINCE_7_2],
    ['7.3', SINCE_7_3],
    ['7.3.4', SINCE_7_3],
    ['7.12', SINCE_7_3],
    ['8.0', SINCE_7_3],
    ['v4', V4],
    ['v4-literal', V4_LITERAL],
  ])('kernel %s has on %j, and the rest off', (version, on) => {
    const features = featuresOf(version) as Features;
    expect(Object.keys(features).toSorted()).toEqual([...V4].toSorted());
    expect(Object.keys(features).filter((feature) => features[feature as Feature])).toEqual(
      Object.keys(features).filter((feature) => on.includes(feature as Feature)),
    );
  });

  test.each(['seven', '7', '7.', '7.2.', '7.2x', 'v7.2', 'v3', 'v4-', 'V4', '7.2.1.1', '', '6.18.99', '5.15'])(
    'does not know "%s", which is no version, or has no dma-bufs to map',
    (version) => {
      expect(featuresOf(version)).toBe(undefined);
    },
  );
});

/** What the last UNMAP of a buffer answers, or the splat that it ends in. */
function release(kernel: string): string {
  const rig = attached([mapFileOf()], kernel);
  try {
    expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
    return 'well';
  } catch (error) {
    if (error instanceof Splat) return error.message;
    throw error;
  }
}

test.each<[kernel: string, ends: string]>([
  ['6.19', 'well'],
  ['7.1', 'lockdep: dev0.dmabuf0.resv must be held here'],
  ['7.1.4', 'lockdep: dev0.dmabuf0.resv must be held here'],
  ['7.1.5', 'well'],
  ['7.2', 'well'],
])('V4: UNMAP of the last area, which unpins the buffer, ends on %s in: %s', (kernel, ends) => {
  expect(release(kernel)).toEqual(ends);
});

/** How UNMAP of the last area and a revoke end together, over every interleaving. */
function unmapAgainstRevoke(kernel: string): string[] {
  const ends = new Set<string>();
  exhaust((choose) => {
    const rig = attached([mapFileOf()], kernel);
    const branches = [unmap(), OFF].map((command) => rig.machine.start(command.do, command));
    try {
      interleave(branches, choose);
      ends.add('well');
    } catch (error) {
      if (!(error instanceof Splat)) throw error;
      ends.add(error.message);
    }
  });
  return [...ends].toSorted();
}

test.each<[kernel: string, ends: readonly string[]]>([
  ['6.19', ['use after free: vfio_memory takes pages->mutex after mutex_destroy by ioas_unmap', 'well']],
  ['7.1.5', ['well']],
])('V5: a revoke that meets the release of the pages ends on %s in one of %j', (kernel, ends) => {
  expect(unmapAgainstRevoke(kernel)).toEqual(ends);
});

const unmapBoth: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: 0x1000n, length: 0x2000n };
const mapAnywhere: Command = { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x1000n, prot: 'rw' };

/** UNMAP of two areas against a MAP that may land where the first was: what both answer. */
function unmapAgainstMap(kernel: string): string[] {
  const ends = new Set<string>();
  exhaust((choose) => {
    const rig = new Rig(undefined, kernel);
    rig.must({ do: 'mem_alloc', as: 'm', length: 0x4000n });
    for (const iova of [0x1000n, 0x2000n]) rig.map('m', 0x1000n, { iova });
    const branches = [unmapBoth, mapAnywhere].map((command) => rig.machine.start(command.do, command));
    const [unmapped, mapped] = interleave(branches, choose).map((it) => ('err' in it ? it.err : it.ok));
    const bytes = typeof unmapped === 'object' ? `${unmapped.length} bytes` : unmapped;
    ends.add(`${bytes}, mapped at ${typeof mapped === 'object' ? mapped.iova : mapped}`);
    rig.expectAtRest();
  });
  return [...ends].toSorted();
}

test.each<[kernel: string, ends: readonly string[]]>([
  // The area that was mapped in between is not there yet, or is removed with the others.
  ['6.19', ['12288 bytes, mapped at 4096', '8192 bytes, mapped at 12288', '8192 bytes, mapped at 4096', 'EBUSY']],
  ['7.1.5', ['8192 bytes, mapped at 12288', '8192 bytes, mapped at 4096']],
])('V7: UNMAP of a range into which somebody maps meanwhile ends on %s in one of %j', (kernel, ends) => {
  expect(unmapAgainstMap(kernel).map((end) => (end.startsWith('EBUSY') ? 'EBUSY' : end))).toEqual(ends);
});

test('a machine refuses to behave like a kernel that nobody knows', () => {
  expect(() => new Rig(undefined, '5.15')).toThrow('"5.15" is no kernel version');
});

/**
 * What accesses do against what else happens in their IOAS, each in every interleaving with up to five preemptions:
 * whatever the order, no pin is lost, none is left, and a domain maps what is pinned.
 *
 * Source: iommufd 4.5 (R14), 5.1 (H-11, H-13), I-53, I-76, I-86
 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { type Choose, interleave } from '../../explore/interleave.ts';
import { accessDetach, accessReplace } from '../../impl/iommufd/access.ts';
import { accessPinPages, accessUnpinPages } from '../../impl/iommufd/access-pin.ts';
import { ACCESS_RW_SLOW_PATH, accessRw } from '../../impl/iommufd/access-rw.ts';
import {
  type MockAccess,
  mockAccessPages,
  mockDestroyAccess,
  mockDestroyAccessPages,
} from '../../impl/iommufd/mock-access.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint, toBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, contentAt, MAP } from './access-rig.ts';
import { A } from './iommufd-rig.ts';

/** A driver's operation, or a user's command. */
type Actor = Command | ((rig: AccessRig, mock: MockAccess) => Thread<unknown>);

interface Race {
  readonly actors: readonly [Actor, Actor];
  /** What the world has besides eight pages of `m` at A, and an access. */
  readonly before?: readonly Command[];
  /** What is done before the race. */
  readonly prepare?: (rig: AccessRig, mock: MockAccess) => void;
  readonly preemptions?: number;
}

const unmap: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x8000n };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'h' };
const destroyHwpt: Command = { do: 'destroy', obj: 'h' };
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const copy: Command = {
  do: 'ioas_copy',
  dst: 'ioas',
  src: 'ioas',
  src_iova: A,
  length: 0x8000n,
  dst_iova: 0x200_0000n,
  prot: 'rw',
};

const [AT, LENGTH] = [fromBigint(A + 0x2000n), bytes(0x3000)];
const pin: Actor = (_, { access }) => accessPinPages(access, AT, LENGTH, true);
const unpin: Actor = (_, { access }) => accessUnpinPages(access, AT, LENGTH);
const mockPin: Actor = (_, mock) => mockAccessPages(mock, { iova: AT, length: LENGTH, flags: 1 });
const mockUnpin: Actor = (_, mock) => mockDestroyAccessPages(mock, 0);
const pinFirst = (rig: AccessRig, mock: MockAccess): void =>
  void rig.call(mockAccessPages(mock, { iova: AT, length: LENGTH, flags: 1 }));
const pinBare = (rig: AccessRig, mock: MockAccess): void =>
  void rig.call(accessPinPages(mock.access, AT, LENGTH, true));

const replace =
  (ioas: string): Actor =>
  (rig, { access }) =>
    accessReplace(access, rig.ioas(ioas).id);

/** Two bytes from two pages, by the slow path. */
const read: Actor = function* ({ machine }, { access }): Thread<unknown> {
  const data = new Uint8Array(2);
  const iova = fromBigint(A + 0x2fffn);
  const failed = yield* accessRw(access, iova, data, ACCESS_RW_SLOW_PATH, machine.mm);
  return failed ?? (data[0] === contentAt(0x2fff) && data[1] === contentAt(0x3000) ? 'right' : 'wrong');
};

/** Beyond this many the schedules are millions, and the bugs are others. */
const MOST_PREEMPTIONS = 5;

/** Go on, when a thread could, in all but so many places. */
function atMost(preemptions: number, choose: (places: number) => number): Choose {
  let left = preemptions;
  return (places) => {
    const choice = left > 0 && places > 1 ? choose(places) : 0;
    if (choice > 0) left--;
    return choice;
  };
}

/** An answer in short. */
function short(answer: unknown): string {
  if (Array.isArray(answer)) return `${answer.length} pages`;
  if (answer === undefined || typeof answer === 'number') return 'ok';
  if (typeof answer === 'string') return answer;
  const result = answer as { readonly err?: string; readonly ok?: { readonly length?: bigint } };
  return result.err ?? 'ok';
}

/** Every way in which the race ends: both answers, the pins, what the area's domains map, and what the driver holds. */
function endsOf({ actors, before = [], prepare, preemptions = MOST_PREEMPTIONS }: Race): {
  schedules: number;
  ends: string[];
} {
  const ends = new Set<string>();
  const schedules = exhaust((choose) => {
    const bounded = atMost(preemptions, choose);
    const rig = new AccessRig([MAP, ...before]);
    const mock = rig.create();
    const { items } = mock;
    prepare?.(rig, mock);
    const branches = actors.map((actor) => {
      if (typeof actor !== 'function') return rig.machine.start(actor.do, actor);
      const task = new Task('driver', rig.machine.kernel);
      const thread = actor(rig, mock);
      return { task, thread: syscall(task, () => thread) };
    });
    const answers = interleave<unknown>(branches as never, bounded).map(short);
    const reach = [...rig.machine.iommu.domains].flatMap((domain) =>
      domain
        .stretches(domain.iommu.apertureFirst, domain.iommu.apertureLast)
        .map(({ iova, length }) => `${toBigint(iova).toString(16)}+${length.toString(16)}`),
    );
    ends.add([...answers, rig.pins().slice(0, 8), ...reach, `${items.size} held`].join(', '));
    rig.expectAtRest();
  });
  return { schedules, ends: [...ends].toSorted() };
}

const HELD = '00111000';
const ALL = '11111111';
const NONE = '00000000';
const MAPPED = '1000000+8000';

test.each<[what: string, atLeast: number, race: Race, ends: readonly string[]]>([
  [
    'R14: UNMAP and a pin: it comes too late, or is asked to let go; never is it left',
    100,
    { actors: [unmap, mockPin] },
    [`ok, ENOENT, ${NONE}, 0 held`, `ok, ok, ${NONE}, 0 held`],
  ],
  [
    'R14: UNMAP of what is pinned and a pin more: EINVAL while the driver is asked',
    250,
    { actors: [unmap, mockPin], prepare: pinFirst },
    [`ok, EINVAL, ${NONE}, 0 held`, `ok, ENOENT, ${NONE}, 0 held`, `ok, ok, ${NONE}, 0 held`],
  ],
  [
    'UNMAP and an unpin of what is in its way: the driver finds it there or gone (H-13)',
    80,
    { actors: [unmap, mockUnpin], prepare: pinFirst },
    [`ok, ENOENT, ${NONE}, 0 held`, `ok, ok, ${NONE}, 0 held`],
  ],
  [
    'UNMAP and a read: it sees the bytes, or that there are none',
    60,
    { actors: [unmap, read] },
    [`ok, ENOENT, ${NONE}, 0 held`, `ok, right, ${NONE}, 0 held`],
  ],
  [
    'UNMAP and a read of what is pinned: EINVAL while the driver is asked',
    150,
    { actors: [unmap, read], prepare: pinFirst },
    [`ok, EINVAL, ${NONE}, 0 held`, `ok, ENOENT, ${NONE}, 0 held`, `ok, right, ${NONE}, 0 held`],
  ],
  [
    'two UNMAPs of what is pinned: one removes it, the other finds it going or gone (H-11)',
    300,
    { actors: [unmap, unmap], prepare: pinFirst, preemptions: 3 },
    ['EBUSY, ok', 'ENOENT, ok', 'ok, EBUSY', 'ok, ENOENT'].map((answers) => `${answers}, ${NONE}, 0 held`),
  ],
  [
    'a pin and a new domain: it is filled, and nothing is pinned twice',
    70,
    { actors: [pin, hwpt] },
    [`3 pages, ok, ${ALL}, ${MAPPED}, 0 held`],
  ],
  [
    'a pin and the end of the only domain: its pages stay, and no others',
    50,
    { actors: [pin, destroyHwpt], before: [hwpt] },
    [`3 pages, ok, ${HELD}, 0 held`],
  ],
  [
    'an unpin and a new domain, which has all pages then',
    50,
    { actors: [unpin, hwpt], prepare: pinBare },
    [`ok, ok, ${ALL}, ${MAPPED}, 0 held`],
  ],
  [
    'an unpin and the end of the only domain: nothing is left',
    50,
    { actors: [unpin, destroyHwpt], before: [hwpt], prepare: pinBare },
    [`ok, ok, ${NONE}, 0 held`],
  ],
  [
    'a pin and another of the same: both have the pages, which are pinned once',
    10,
    { actors: [pin, (_, { access }) => accessPinPages(access, AT, LENGTH, false)] },
    [`3 pages, 3 pages, ${HELD}, 0 held`],
  ],
  [
    'a pin and an unpin of the same: the pages stay',
    8,
    { actors: [pin, unpin], prepare: pinBare },
    [`3 pages, ok, ${HELD}, 0 held`],
  ],
  [
    'a read and the end of the only domain, from which it may read',
    50,
    { actors: [read, destroyHwpt], before: [hwpt] },
    [`right, ok, ${NONE}, 0 held`],
  ],
  [
    'a COPY and an unpin of its source',
    100,
    { actors: [copy, unpin], before: [hwpt], prepare: pinBare },
    [`ok, ok, ${ALL}, ${MAPPED}, 2000000+8000, 0 held`],
  ],
  [
    'I-53: a MAP and a pin of it: ENOENT until it is done',
    30,
    {
      actors: [
        { ...MAP, iova: A + 0x8000n },
        (_, { access }) => accessPinPages(access, fromBigint(A + 0xa000n), LENGTH, true),
      ],
    },
    [`ok, 3 pages, ${HELD}, 0 held`, `ok, ENOENT, ${NONE}, 0 held`],
  ],
  [
    'a detach and a pin: it is asked to let go, or finds nothing to pin from',
    30,
    { actors: [(_, { access }) => accessDetach(access), mockPin] },
    [`ok, ENOENT, ${NONE}, 0 held`, `ok, ok, ${NONE}, 0 held`],
  ],
  [
    'two replaces: one of them finds the access on its way, or it goes to both places in turn',
    30,
    { actors: [replace('other'), replace('third')], before: [other, { ...other, as: 'third' } as Command] },
    [`ENOENT, ok, ${NONE}, 0 held`, `ok, ENOENT, ${NONE}, 0 held`, `ok, ok, ${NONE}, 0 held`],
  ],
  // Nobody asks an access that is going. UNMAP tries again at once, and gives up when it does not go soon.
  [
    'UNMAP and the end of the access that is in its way: the access lets go, and the driver is not asked after that',
    50,
    { actors: [unmap, (_, mock) => mockDestroyAccess(mock)], prepare: pinFirst, preemptions: 2 },
    [`EDEADLOCK, ok, ${NONE}, 0 held`, `ok, ok, ${NONE}, 0 held`],
  ],
])('%s, in every such interleaving (more than %i)', (_, atLeast, race, expected) => {
  const { schedules, ends } = endsOf(race);
  expect(ends).toEqual([...expected].toSorted());
  expect(schedules).toBeGreaterThan(atLeast);
});

/** Programs as fast-check draws and shrinks them: the machine first, so that the simplest come first. */
import * as fc from 'fast-check';
import type { Command } from '../../trace/command.ts';
import { FIELD, type Intent, intentFor, intents, WRONG_BELOW } from '../intents.ts';
import { SETTINGS } from '../machines.ts';
import { type Meeting, meetingsWith } from './meetings.ts';
import type { Meant } from './program.ts';

/** A program, and what chooses its schedules. */
export interface Drawn extends Meant {
  readonly seed: number;
}

/** Commands at random between what every prefix begins with, and the branches. */
const LONGEST_REST = 8;
const LONGEST_BRANCH = 3;

/** All that a map needs, and an area: of one device or another. */
const mapped = (pick: number): readonly Intent[] =>
  Array.from({ length: 6 }, () => intentFor('ioas_map_file', { pick, at: 1 }));
/** What may be there besides, each alone, in this order. */
const BESIDES: readonly (readonly Intent[])[] = [
  [intentFor('vfio_attach')],
  [intentFor('vfio_bind'), intentFor('vfio_bind')],
  [intentFor('vfio_attach', { pick: 1 })],
  [intentFor('vfio_export', { pick: 1 })],
  [intentFor('ioas_map_file', { from: 16, at: 3 })],
  [intentFor('hwpt_alloc')],
  [intentFor('ioas_alloc'), intentFor('ioas_copy', { at: 20, pick: 1 })],
  [intentFor('ioas_copy', { at: 4 })],
  [intentFor('fork')],
  [intentFor('mem_alloc'), intentFor('ioas_map', { at: 5 })],
];

const besides = fc.subarray([...BESIDES]).map((some) => some.flat());

const field = fc.nat(FIELD - 1);
/** Mostly the first of several, and near the first area. */
const low = fc.oneof(fc.nat(3), field);
/** Commands pick by fields of their own, buffers and contexts by a higher digit: a low place is the same for all. */
const where = fc.record({ pick: low, from: low, at: low }).map(({ pick, from, at }) => {
  const digit = pick % 4;
  return { pick, from: from < 4 ? from + 16 * digit : from, at: at < 4 ? at + 8 * digit : at };
});

/** As seldom wrong on purpose as in a sequence. */
const odd = fc.oneof(
  { withCrossShrink: true },
  { weight: 5, arbitrary: fc.constant(FIELD - 1) },
  { weight: 1, arbitrary: fc.nat(Math.floor(WRONG_BELOW)) },
);

/** What an intent of a branch is about: mostly what the others are about, too. */
const near = (does: readonly Command['do'][]) =>
  fc.record({ own: fc.nat(3), what: fc.constantFrom(...does), where, size: field, how: field, odd });

/** A sequence leaves memory on, mostly; here it is turned off as often. */
const howOf = (what: Command['do'], how: number): number => (what === 'vfio_memory' ? how % 2 : how);

const branch = (does: readonly Command['do'][]) =>
  fc.oneof(
    { weight: 2, arbitrary: near(does).map((one) => [one]) },
    { weight: 1, arbitrary: fc.array(near(does), { minLength: 1, maxLength: LONGEST_BRANCH }) },
  );
type Branch = ReturnType<typeof branch>;

/** What is needed, and two branches, or now and then three. */
const meeting = ({ does, needs }: Meeting) => {
  const [one, other] = does.map(branch) as [Branch, Branch];
  const branches = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(one, other) },
    { weight: 1, arbitrary: fc.tuple(one, other, one) },
  );
  return branches.map((drawn) => ({ needs, branches: drawn }));
};
const programsOn = (settings: typeof SETTINGS, meetings: readonly Meeting[]): fc.Arbitrary<Drawn> =>
  fc
    .record({
      on: fc.constantFrom(...settings),
      first: fc.nat(1),
      besides,
      rest: fc.oneof(fc.constant<readonly Intent[]>([]), intents(LONGEST_REST)),
      meet: where,
      meeting: fc.oneof(...meetings.map((each) => ({ weight: each.weight, arbitrary: meeting(each) }))),
      inTurn: fc.boolean(),
      seed: fc.nat(),
    })
    .map(({ on, first, besides, rest, meet, meeting: { needs, branches }, inTurn, seed }) => ({
      ...on,
      prefix: [...mapped(first), ...needs, ...besides, ...rest],
      branches: branches.map((each) =>
        each.map(({ own, what, where, size, how, odd }) =>
          intentFor(what, { ...(own === 0 ? where : meet), size, how: howOf(what, how), odd }),
        ),
      ),
      inTurn,
      seed,
    }));

const [merged, series] = [false, true].map((has) =>
  programsOn(
    SETTINGS.filter(({ kernel }) => (kernel === 'v4') === has),
    meetingsWith(has),
  ),
) as [fc.Arbitrary<Drawn>, fc.Arbitrary<Drawn>];

export const programs: fc.Arbitrary<Drawn> = fc.oneof(
  { weight: 2, arbitrary: merged },
  { weight: 1, arbitrary: series },
);

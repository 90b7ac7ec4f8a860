/** Programs as fast-check draws and shrinks them: the machine first, so that the simplest come first. */
import * as fc from 'fast-check';
import type { Command } from '../../trace/command.ts';
import { FIELD, type Intent, intentFor, intents } from '../intents.ts';
import { SETTINGS } from '../machines.ts';
import { MEETINGS, type Meeting } from './meetings.ts';
import type { Meant } from './program.ts';

/** A program, and what chooses its schedules. */
export interface Drawn extends Meant {
  readonly seed: number;
}

/** Commands at random between what every prefix begins with, and the branches. */
const LONGEST_REST = 8;
const LONGEST_BRANCH = 3;

/** All that a map needs, and an area. */
const MAPPED = Array.from({ length: 6 }, () => intentFor('ioas_map_file', { at: 1 }));
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
const where = fc.record({ pick: low, from: low, at: low });

/** What an intent of a branch is about: mostly what the others are about, too. */
const near = (does: readonly Command['do'][]) =>
  fc.record({ own: fc.nat(3), what: fc.constantFrom(...does), where, size: field, how: field });

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
const meetings = fc.oneof(...MEETINGS.map((each) => ({ weight: each.weight, arbitrary: meeting(each) })));

export const programs: fc.Arbitrary<Drawn> = fc
  .record({
    on: fc.constantFrom(...SETTINGS),
    besides,
    rest: fc.oneof(fc.constant<readonly Intent[]>([]), intents(LONGEST_REST)),
    meet: where,
    meeting: meetings,
    inTurn: fc.boolean(),
    seed: fc.nat(),
  })
  .map(({ on, besides, rest, meet, meeting: { needs, branches }, inTurn, seed }) => ({
    ...on,
    prefix: [...MAPPED, ...needs, ...besides, ...rest],
    branches: branches.map((each) =>
      each.map(({ own, what, where, size, how }) => intentFor(what, { ...(own === 0 ? where : meet), size, how })),
    ),
    inTurn,
    seed,
  }));

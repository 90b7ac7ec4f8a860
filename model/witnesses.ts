/** What must have happened now and then: an invariant that nothing has put to the test has not been tested. */

import type { Command, Interval } from '../trace/command.ts';
import { addressOf } from './areas.ts';
import { faults, revoked } from './buffers.ts';
import type { Observation } from './invariants.ts';
import { hasRoom } from './iova.ts';
import { deviceNamed, ioasNamed, mappingNamed } from './names.ts';
import type { Area, Ioas, State } from './spec.ts';

/** What a step led to, and what it `shot`: of each IOAS that it was in. */
type Step = Readonly<{ before: State; command: Command; after: State; seen: Observation; shot: readonly Shot[] }>;
type Shot = readonly [Ioas, readonly Area[]];
/** `of` is the name of an invariant, or `the same answers`. */
export type Witness = Readonly<{ of: string; name: string; happened: (step: Step) => boolean }>;

/** A step, for the witnesses: what several of them look for is found once. */
export const stepOf = (before: State, command: Command, after: State, seen: Observation): Step => {
  return { before, command, after, seen, shot: takesOrGives(command) ? shotBetween(before, after) : [] };
};

/** Only what is done to a device, its last mapping, or a test buffer can take memory back, or give it again. */
const takesOrGives = (c: Command): boolean => c.do.startsWith('vfio') || c.do === 'mock_revoke' || ends(c);
const ends = (c: Command): boolean => c.do === 'munmap' || c.do === 'exit';

const shotBetween = (before: State, after: State): readonly Shot[] =>
  before.ioases
    .filter((ioas) => !after.ioases.includes(ioas))
    .map((ioas) => {
      const now = after.ioases.find(({ space }) => space === ioas.space)?.areas ?? [];
      return [ioas, ioas.areas.filter((it) => it.live && now.some((area) => area.iova === it.iova && !area.live))];
    });
/** Out of how many domains a revoke shot an area, at the most. */
const shotOutOf = ({ shot }: Step, which = (_: Area): boolean => true): number =>
  shot.reduce((most, [{ domains }, areas]) => (areas.some(which) ? Math.max(most, domains.length) : most), 0);
const isShot = ({ live }: Area): boolean => !live;
const shotInDomains = (s: State): readonly Area[] =>
  s.ioases.flatMap(({ domains, areas }) => (domains.length > 0 ? areas.filter(isShot) : []));

type Rows = Readonly<Record<string, Readonly<Record<string, (step: Step) => boolean>>>>;
const rows: Rows = {
  'never mapped while revoked': {
    'a revoke found live PTEs': (step) => shotOutOf(step) > 0,
    'a shot area stayed dead when its buffer was usable again': ({ command, after }) =>
      takesOrGives(command) && shotInDomains(after).some(({ source }) => !revoked(after, source)),
    'a revoke met a mapping of the CPU': ({ before, command, after }) =>
      !ends(command) && before.mappings.some(({ source }) => !faults(before, source) && faults(after, source)),
    'a mapping of the CPU faulted after a revoke': ({ command: c, after }) =>
      c.do === 'peek' &&
      after.mappings.some((it) => mappingNamed(after, c.map, c.process) === it && faults(after, it.source)),
    'a child read through what it has of the first process': ({ command: c, after }) =>
      c.do === 'peek' &&
      c.process !== undefined &&
      after.mappings.some((it) => mappingNamed(after, c.map, c.process) === it && !faults(after, it.source)),
    'a revoke for good met a mapping of the CPU': ({ before, command, after }) =>
      command.do === 'vfio_dmabuf_revoke' &&
      before.mappings.some(({ source }) => !faults(before, source) && faults(after, source)),
    'a buffer was born usable while others of its device were lost': ({ command: c, after }) =>
      c.do === 'vfio_export' && deviceNamed(after, c.dev).spared.length > 0,
    'a device woke up, and what it had exported stayed lost': ({ before, after }) =>
      after.devices.some(({ name, lost, lowPower }) => lost && !lowPower && deviceNamed(before, name).lowPower),
    'a restore shot what a device reached': (step) =>
      step.command.do === 'mock_revoke' && !step.command.revoked && shotOutOf(step) > 0,
  },
  'no double unmap': {
    'a revoke shot an area out of two domains': (step) => shotOutOf(step) > 1,
    'a shot area was unmapped, and no domain was asked for it': ({ before, command, after, seen }) =>
      command.do === 'ioas_unmap' &&
      seen.unmaps.length === 0 &&
      shotInDomains(after).length < shotInDomains(before).length,
    'a mapping of the CPU kept a closed device open': ({ before, command, after }) =>
      command.do === 'vfio_close' && after !== before && deviceNamed(after, command.dev).holder !== undefined,
    'the end of a mapping shot what a device reached': (step) => step.command.do === 'munmap' && shotOutOf(step) > 0,
    'the end of a child shot what a device reached': (step) => step.command.do === 'exit' && shotOutOf(step) > 0,
  },
  'one MMIO range': {
    'a buffer that begins inside its BAR was in a domain': ({ seen }) =>
      seen.areas.some(({ slice, domains }) => slice && slice.offset > 0n && domains.length > 0),
    'a buffer was in a domain, page by page': ({ seen }) =>
      seen.areas.some(({ slice, domains, page, length }) => slice && domains.length > 0 && page && page < length),
  },
  'sub-page offsets correct': {
    'a copy began inside an area': ({ before, command: c, after }) =>
      c.do === 'ioas_copy' && after !== before && ioasNamed(before, c.src).areas.every((it) => it.iova !== c.src_iova),
    'a revoke met an area that began inside a page of its buffer': (step) =>
      shotOutOf(step, ({ offset }) => offset % step.after.machine.pageSize > 0n) > 0,
    'an area in a domain began or ended inside a page': ({ after: { machine }, seen }) =>
      seen.areas.some((it) => it.domains.length > 0 && (it.iova | it.offset | it.length) % machine.pageSize > 0n),
  },
  'the same answers': {
    'an allowed set turned a placement away from a lower hole': ({ before, command: c, after }) => {
      if (c.do !== 'ioas_map_file' || c.iova !== undefined || after === before) return false;
      const [was, is] = [ioasNamed(before, c.ioas), ioasNamed(after, c.ioas)];
      if (was.allowed.length === 0) return false;
      const area = is.areas.find((it) => !was.areas.includes(it))!;
      const below: Interval = [0n, area.iova + area.length - 2n];
      return hasRoom(before, { ...was, allowed: [below] }, addressOf(area), area.length);
    },
  },
};

export const witnesses: readonly Witness[] = Object.entries(rows).flatMap(([of, row]) =>
  Object.entries(row).map(([name, happened]): Witness => ({ of, name, happened })),
);

/** What must have happened now and then: an invariant that nothing has put to the test has not been tested. */

import type { Command } from '../trace/command.ts';
import { revoked } from './devices.ts';
import type { Observation } from './invariants.ts';
import { ioasNamed } from './names.ts';
import type { Area, State } from './spec.ts';

type Step = Readonly<{ before: State; command: Command; after: State; seen: Observation }>;
/** `of` is the name of an invariant. */
export type Witness = Readonly<{ of: string; name: string }> &
  Readonly<{ happened: (before: State, command: Command, after: State, seen: Observation) => boolean }>;

/** Out of how many domains a revoke shot an area, at the most. Only what is done to a device can do that. */
const shotOutOf = ({ before, command, after }: Step): number => {
  const touched = command.do.startsWith('vfio') ? before.ioases.filter((ioas) => !after.ioases.includes(ioas)) : [];
  const hit = touched.filter(({ space, areas }) => {
    const now = after.ioases.find((ioas) => ioas.space === space)?.areas ?? [];
    return areas.some(({ live, iova }) => live && now.some((area) => area.iova === iova && !area.live));
  });
  return Math.max(0, ...hit.map(({ domains }) => domains.length));
};
const isShot = ({ live }: Area): boolean => !live;
const shotInDomains = (s: State): Area[] =>
  s.ioases.flatMap(({ domains, areas }) => (domains.length > 0 ? areas.filter(isShot) : []));

const rows: Readonly<Record<string, Readonly<Record<string, (step: Step) => boolean>>>> = {
  'never mapped while revoked': {
    'a revoke found live PTEs': (step) => shotOutOf(step) > 0,
    'a shot area stayed dead when its buffer was usable again': ({ command, after }) =>
      command.do.startsWith('vfio') && shotInDomains(after).some(({ source }) => !revoked(after, source)),
  },
  'no double unmap': {
    'a revoke shot an area out of two domains': (step) => shotOutOf(step) > 1,
    'a shot area was unmapped, and no domain was asked for it': ({ before, command, after, seen }) =>
      command.do === 'ioas_unmap' &&
      seen.unmaps.length === 0 &&
      shotInDomains(after).length < shotInDomains(before).length,
  },
  'one MMIO range': {
    'a buffer that begins inside its BAR was in a domain': ({ seen }) =>
      seen.areas.some(({ slice, domains }) => slice && slice.offset > 0n && domains.length > 0),
  },
  'sub-page offsets correct': {
    'a copy began inside an area': ({ before, command: c, after }) =>
      c.do === 'ioas_copy' && after !== before && ioasNamed(before, c.src).areas.every((it) => it.iova !== c.src_iova),
    'an area in a domain began or ended inside a page': ({ after: { machine }, seen }) =>
      seen.areas.some((it) => it.domains.length > 0 && (it.iova | it.offset | it.length) % machine.pageSize > 0n),
  },
};

export const witnesses: readonly Witness[] = Object.entries(rows).flatMap(([of, row]) =>
  Object.entries(row).map(([name, saw]): Witness => {
    return { of, name, happened: (before, command, after, seen) => saw({ before, command, after, seen }) };
  }),
);

/**
 * What a state shows of itself: to a trace, and to the invariants, against which it is held as the implementation is.
 */

import type { Reach } from '../trace/answer.ts';
import type { Handle } from '../trace/command.ts';
import { answers } from './devices.ts';
import type { AreaSeen, Observation, Pte, Stretch } from './invariants.ts';
import { automatic } from './iova.ts';
import { type Device, type Ioas, mapped, type State, targetOf } from './spec.ts';

export const observe = (s: State): Observation => {
  const areas = s.ioases.flatMap((ioas) => areasOf(ioas, domainsOf(s, ioas)));
  const revoked = s.devices.filter((device) => !answers(device)).flatMap(bars);
  return { ptes: areas.flatMap(ptes), areas, revoked, maps: [], unmaps: [], keepsMmio: true };
};

/** Where its areas are: the automatic domain has the name of the IOAS. */
export const domainsOf = (s: State, ioas: Ioas): readonly string[] =>
  [...(automatic(s, ioas) ? [ioas.space] : []), ...ioas.domains].map((it) => it.name);

const areasOf = ({ areas }: Ioas, domains: readonly string[]): (AreaSeen & Pick<Pte, 'prot'>)[] =>
  areas.map(({ iova, length, offset, prot, live, source: { is, memory, base: from, length: size } }) => {
    const slice = is === 'dmabuf' ? { slice: { memory, offset: from, length: size } } : {};
    return { domains, iova, memory, offset, length, prot, shot: !live, ...slice };
  });

const ptes = ({ domains, shot, slice, ...area }: ReturnType<typeof areasOf>[number]): Pte[] =>
  (shot ? [] : domains).map((domain) => ({ ...area, domain, mmio: slice !== undefined, cache: slice === undefined }));

const bars = ({ name, config }: Device): Stretch[] =>
  [...config.bars].map(([bar, length]) => ({ memory: `${name}:${bar}`, offset: 0n, length }));

/** All that a device reaches. What goes on where its neighbour ends is one row with it. */
export const reaches = (s: State, dev: Handle): Reach[] => {
  const rows: Reach[] = [];
  for (const { iova, source, offset, length, prot } of mapped(s, dev)) {
    const [start, target, before, same] = rows.at(-1) ?? [iova, '', 0n, prot];
    const joins = start + before === iova && same === prot && target === targetOf(source.memory, offset - before);
    if (joins) rows.pop();
    rows.push(joins ? [start, target, before + length, prot] : [iova, targetOf(source.memory, offset), length, prot]);
  }
  return rows;
};

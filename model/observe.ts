/**
 * What a state shows of itself: to a trace, and to the invariants, against which it is held as the implementation is.
 */

import type { Reach } from '../trace/answer.ts';
import type { Handle, Interval } from '../trace/command.ts';
import { answers, faults } from './buffers.ts';
import type { AreaSeen, CpuPte, Observation, Pte, Stretch } from './invariants.ts';
import { part } from './memory.ts';
import { targetOf } from './names.ts';
import { type Device, type Ioas, type Mapping, mapped, type State } from './spec.ts';

export const observe = (s: State): Observation => {
  const areas = s.ioases.flatMap((ioas) => areasOf(s, ioas));
  return { ptes: areas.flatMap(ptes), areas, revoked: lost(s), cpu: cpu(s), maps: [], unmaps: [], keepsMmio: true };
};

/** What processes reach of what they have mapped: they have as many page table entries, or fewer. */
export const cpu = (s: State): CpuPte[] =>
  s.mappings.filter(({ source }) => !faults(s, source)).flatMap((it) => it.left.flatMap((piece) => pieces(it, piece)));

/** A mapping, by its name and process. */
export const mapOf = (name: Handle, process: Handle | undefined): string =>
  process === undefined ? name : `${name} of ${process}`;

const pieces = ({ name, process, source }: Mapping, [from, last]: Interval): CpuPte[] => {
  let at = from;
  return part(source.ranges, from, last - from + 1n).map(([offset, length]): CpuPte => {
    at += length;
    return { map: mapOf(name, process), at: at - length, memory: source.memory, offset, length };
  });
};

/** Memory that its owner has taken back, and not given again. What was taken back for good is of no other buffer's. */
const lost = (s: State): Stretch[] => [
  ...s.devices.filter((device) => !answers(device)).flatMap(bars),
  ...s.takenBack.filter(({ owner }) => !owner).map(({ memory, base: offset, length }) => ({ memory, offset, length })),
];

const areasOf = (s: State, { areas, domains: all, largePages }: Ioas): (AreaSeen & Pick<Pte, 'prot'>)[] => {
  const common = { domains: all.map(({ name }) => name), ...(!largePages && { page: s.machine.pageSize }) };
  return areas.map(({ iova, length, offset, prot, live, source: { is, memory, base: from, length: size } }) => {
    const slice = is === 'dmabuf' ? { slice: { memory, offset: from, length: size } } : {};
    return { ...common, iova, memory, offset, length, prot, shot: !live, ...slice };
  });
};

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

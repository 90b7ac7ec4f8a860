/**
 * Commands in smaller steps, as the kernel takes them: those of several threads may alternate. A command under way is a
 * value; run alone to its end it leads where the whole command does.
 *
 * In one step, because nobody can see more: what opens, duplicates or makes something; `dma_read`; `iommufd_close`, for
 * no device is left that could look; `destroy` of an IOAS, for the same reason; `vfio_wake`; and what the kernel's test
 * exporter does, which has one buffer in each call.
 *
 * Left out, because only who cannot be in the history could tell: the lock of a buffer, which is always inside another;
 * the order in which an unwinding takes areas out of a domain; memory_lock while a device wakes up or falls asleep.
 */

import type { Result } from '../trace/answer.ts';
import type { Command } from '../trace/command.ts';
import { closeDescriptor } from './domains.ts';
import type { By, Hold } from './holds.ts';
import { unmapAll } from './memory.ts';
import { type Freedom, type Part, part, type Taken, whole } from './part.ts';
import { copyParts, mapParts, unmapParts } from './parts-areas.ts';
import { attachParts } from './parts-attach.ts';
import { bindParts } from './parts-bind.ts';
import * as buffers from './parts-buffers.ts';
import { destroyParts, detachParts, hwptParts } from './parts-domains.ts';
import { ioasParts } from './parts-ioas.ts';
import { mockDestroyParts, mockDomainParts } from './parts-mock.ts';
import { owedFor } from './parts-release.ts';
import { hotResetParts } from './parts-reset.ts';
import { lowPowerParts, triggerParts } from './parts-revoke.ts';
import { swept } from './spaces.ts';
import { type Device, type State, step } from './spec.ts';

/** `left`: what it has still to do; `ending`: it has let go of all, and what is left it owes because of that. */
export type UnderWay = Readonly<{ by: By; left: readonly Part[]; owed: readonly Part[]; ending: boolean }> &
  Readonly<{ answer?: Result | undefined }>;

export const begin = (by: By, command: Command): UnderWay => {
  return { by, left: partsOf(command), owed: [], ending: false };
};
export const isDone = ({ left, ending }: UnderWay): boolean => ending && left.length === 0;

type Advanced = Exclude<Taken, { state: State }> | Readonly<{ state: State; underWay: UnderWay }>;
/** The next small step of a command that is not done. */
export const advance = (s: State, underWay: UnderWay, free: Freedom = {}): Advanced => {
  const [next, ...rest] = underWay.left;
  const did = next ? next.take(s, underWay.by, free) : letsGo(s, underWay.by);
  if (did === 'waits' || 'refused' in did) return did;
  const { state, answer = underWay.answer, next: more = [] } = did;
  const refused = did.answer !== undefined && 'err' in did.answer;
  const left = refused ? more : [...more, ...rest];
  const owed = [...underWay.owed, ...owedFor(s, state)];
  const ended = left.length === 0 && (underWay.ending || !next || !state.holds.some(({ by }) => by === underWay.by));
  if (ended) return { state, underWay: { ...underWay, left: owed, owed: [], ending: true, answer } };
  return { state, underWay: { ...underWay, left, owed, answer } };
};

/** What is next, for a person. */
export const nextOf = ({ left }: UnderWay): string => left[0]?.name ?? 'returns';

/** A device that nobody uses any more falls asleep again; a context that nobody does goes. */
const letsGo = (s: State, by: By): Taken => {
  const holds = s.holds.filter((it) => it.by !== by);
  const idle = ({ holder, lowPower }: Device): boolean =>
    lowPower !== undefined && uses(s.holds, holder) && !uses(holds, holder);
  const devices = s.devices.map((it): Device => (idle(it) && it.power !== 0 ? { ...it, power: 0 } : it));
  const shut = s.holds.some(({ by: whose, what }) => whose === by && isContext(what) && !s.contexts.includes(what));
  return { state: shut ? swept({ ...s, devices, holds }) : { ...s, devices, holds } };
};
const uses = (holds: readonly Hold[], holder: Device['holder']): boolean =>
  holds.some(({ what, how }) => what === holder && how === 'uses');
const isContext = (what: object | string): what is State['contexts'][number] =>
  typeof what === 'object' && 'is' in what && what.is === 'context';

const partsOf = (c: Command): readonly Part[] => {
  switch (c.do) {
    case 'ioas_map':
    case 'ioas_map_file':
      return mapParts(c);
    case 'ioas_copy':
      return copyParts(c);
    case 'ioas_unmap':
      return unmapParts(c);
    case 'ioas_iova_ranges':
    case 'ioas_allow_iovas':
    case 'ioas_option_huge_pages':
      return ioasParts(c);
    case 'vfio_bind':
      return bindParts(c);
    case 'vfio_attach':
      return attachParts(c);
    case 'vfio_detach':
      return detachParts(c);
    case 'hwpt_alloc':
      return hwptParts(c);
    case 'destroy':
      return destroyParts(c);
    case 'vfio_memory':
    case 'vfio_power':
    case 'vfio_reset':
    case 'vfio_flr':
    case 'vfio_low_power_exit':
      return triggerParts(c);
    case 'vfio_low_power_entry':
      return lowPowerParts(c);
    case 'vfio_hot_reset':
      return hotResetParts(c);
    case 'vfio_export':
      return buffers.exportParts(c);
    case 'vfio_dmabuf_revoke':
    case 'vfio_dmabuf_memattr':
      return buffers.ofBufferParts(c);
    case 'bar_mmap':
      return buffers.barMmapParts(c);
    case 'fd_mmap':
      return buffers.fdMmapParts(c);
    case 'peek':
      return buffers.peekParts(c);
    case 'fork':
      return buffers.forkParts(c);
    case 'mock_domain':
      return mockDomainParts(c);
    case 'mock_domain_destroy':
      return mockDestroyParts(c);
    case 'munmap':
      return buffers.munmapParts(c);
    case 'exit':
      return [part('exits', (s) => whole(unmapAll(s, c), s))];
    case 'vfio_close':
      return [part('closes', (s) => whole(closeDescriptor(s, c), s))];
    default:
      return [part('acts', (s, _, { iova }) => whole(step(s, c, iova), s))];
  }
};

/**
 * What may happen to a buffer of vfio-pci, as a table: a state and an event give the next state, what is done on the
 * way, and what the event answers. The revoke engine runs it (pci-dmabuf-revoke.ts), every request asks it, and
 * `docs/permanent-revoke.md` is drawn from it.
 *
 * It is that of the unmerged series. Up to 7.3 nobody revokes for good or maps buffers, and giving back calls the
 * importers once more; the rest is the same.
 *
 * Source: vfio-dmabuf 2.7, 6.7, V-17, V-52, V-53, V-63, V-64
 */
import { match, P } from 'ts-pattern';
import type { Errno } from '../kernel/errno.ts';
import { Splat } from '../kernel/splat.ts';

/** `vfio_pci_dma_buf_status`: usable, revoked until the memory is back, revoked for good. */
export type Status = 'OK' | 'TEMP_REVOKED' | 'PERM_REVOKED';

/** A buffer without a device, `vdev` NULL, is as good as revoked for good, whichever status it keeps. */
export const STATES = ['OK', 'TEMP_REVOKED', 'PERM_REVOKED', 'CLOSED'] as const;
export type State = (typeof STATES)[number];

/**
 * What the owner does, then what others ask for.
 * - move(true), move(false): the memory of the device goes away; it is back
 * - DMA_BUF_REVOKE: the user takes this buffer back, for good
 * - forget: the device closes. After a move(true), so there is nothing to wait for
 * - import: attach, DMA map, map into an IOAS
 * - mmap, touch: the CPU
 */
export const EVENTS = ['move(true)', 'move(false)', 'DMA_BUF_REVOKE', 'forget', 'import', 'mmap', 'touch'] as const;
export type Event = (typeof EVENTS)[number];

/** With dma_resv held: call the importers, wait for fences of every usage. */
export type HeldEffect = 'invalidate' | 'wait for fences';
/** Without it: drop the token and wait for all DMA maps, take the CPU's entries away, make the token new. */
export type Effect = 'drain' | 'zap' | 're-arm';

export interface Transition {
  readonly next: State;
  readonly held: readonly HeldEffect[];
  readonly after: readonly Effect[];
  readonly answer: Errno | 'SIGBUS' | undefined;
}

/** The whole of a revoke. The CPU comes after the drain, and the token is made new last. */
const TAKE_BACK = { held: ['invalidate', 'wait for fences'], after: ['drain', 'zap', 're-arm'] } as const;

const to = (next: State): Transition => ({ next, held: [], after: [], answer: undefined });
const takenBackTo = (next: State): Transition => ({ next, ...TAKE_BACK, answer: undefined });
const refused = (next: State, answer: Errno | 'SIGBUS'): Transition => ({ next, held: [], after: [], answer });

/** The table; undefined where no such event comes: a usable buffer loses no device, and a lost one is on no list. */
const transition = (state: State, event: Event): Transition | undefined =>
  match<readonly [State, Event]>([state, event])
    .returnType<Transition | undefined>()
    .with(['OK', 'move(true)'], () => takenBackTo('TEMP_REVOKED'))
    .with(['OK', 'move(false)'], () => to('OK'))
    .with(['OK', 'DMA_BUF_REVOKE'], () => takenBackTo('PERM_REVOKED'))
    .with(['OK', 'forget'], () => undefined)
    .with(['OK', P.union('import', 'mmap', 'touch')], () => to('OK'))
    .with(['TEMP_REVOKED', 'move(true)'], () => to('TEMP_REVOKED'))
    .with(['TEMP_REVOKED', 'move(false)'], () => to('OK'))
    // Nothing reaches the buffer already: no wait, and the token is left alone.
    .with(['TEMP_REVOKED', 'DMA_BUF_REVOKE'], () => to('PERM_REVOKED'))
    .with(['PERM_REVOKED', P.union('move(true)', 'move(false)')], () => to('PERM_REVOKED'))
    .with(['PERM_REVOKED', 'DMA_BUF_REVOKE'], () => refused('PERM_REVOKED', 'EBADFD'))
    .with([P.union('TEMP_REVOKED', 'PERM_REVOKED'), 'forget'], () => to('CLOSED'))
    .with(['CLOSED', P.union('move(true)', 'move(false)', 'forget')], () => undefined)
    .with(['CLOSED', 'DMA_BUF_REVOKE'], () => refused('CLOSED', 'ENODEV'))
    .with([P.union('TEMP_REVOKED', 'PERM_REVOKED', 'CLOSED'), P.union('import', 'mmap')], ([at]) =>
      refused(at, 'ENODEV'),
    )
    .with([P.union('TEMP_REVOKED', 'PERM_REVOKED', 'CLOSED'), 'touch'], ([at]) => refused(at, 'SIGBUS'))
    .exhaustive();

/** Matched once; what asks it runs at every map and every page fault. */
export const TABLE = Object.fromEntries(
  STATES.map((state) => [state, Object.fromEntries(EVENTS.map((event) => [event, transition(state, event)]))]),
) as Readonly<Record<State, Readonly<Record<Event, Transition | undefined>>>>;

/** What an event does to a buffer in a state. Fails: a Splat for one that cannot come */
export function transitionOf(state: State, event: Event): Transition {
  const found = TABLE[state][event];
  if (found === undefined) throw new Splat('WARN', `${event} of a buffer that is ${state}`);
  return found;
}

/** What a buffer shows of itself to those who ask for something. */
interface Stateful {
  readonly state: State;
}

/** What a request gets for an answer in the state that the buffer is in; undefined lets it go on. */
export const refusalOf = ({ state }: Stateful, request: 'import' | 'mmap'): Errno | undefined =>
  transitionOf(state, request).answer as Errno | undefined;

/** The same of a CPU that touches a page of it: SIGBUS. */
export const refusesTouch = ({ state }: Stateful): boolean => transitionOf(state, 'touch').answer !== undefined;

/** How often each byte of I/O address space was mapped, to what, and unmapped; and where two such counts differ. */
import { target } from './observe.ts';

/** For calls of which nobody said which domain they went to. */
export const ALL = '';

type Side = 'expected' | 'got';

interface Event {
  /** Which of its domain it is. */
  readonly nth: number;
  readonly side: Side;
  readonly from: bigint;
  readonly end: bigint;
  readonly sign: 1 | -1;
  readonly memory: string;
  /** Offset in the memory minus IOVA: the same for the whole stretch. */
  readonly shift: bigint;
}

/** Where nothing begins: beyond every address and every end. */
const END = 1n << 65n;

/** Calls of two sides, counted for every byte of every domain. */
export class CallTally {
  readonly #domains = new Map<string, Event[]>();

  map(side: Side, domain: string, iova: bigint, length: bigint, memory: string, offset: bigint): void {
    this.#add(domain, { side, from: iova, end: iova + length, sign: 1, memory, shift: offset - iova });
  }

  unmap(side: Side, domain: string, iova: bigint, length: bigint): void {
    this.#add(domain, { side, from: iova, end: iova + length, sign: -1, memory: '', shift: 0n });
  }

  #add(domain: string, event: Omit<Event, 'nth'>): void {
    const events = this.#domains.get(domain) ?? [];
    this.#domains.set(domain, events);
    events.push({ nth: events.length, ...event });
  }

  /** The first byte for which the sides differ, in a line; of a `refused` step, what was undone does not count. */
  firstDifference(refused: boolean): string[] {
    for (const [domain, events] of this.#domains) {
      const ascending = events.toSorted((a, b) => compare(a.from, b.from));
      const edges = [...new Set(events.flatMap(({ from, end }) => [from, end]))].sort(compare);
      let here: Event[] = [];
      let next = 0;
      for (const at of edges) {
        here = here.filter(({ end }) => at < end);
        for (; (ascending[next]?.from ?? END) <= at; next++) here.push(ascending[next] as Event);
        here.sort((a, b) => a.nth - b.nth);
        const [expected, got] = [summary(here, at, 'expected', refused), summary(here, at, 'got', refused)];
        if (expected !== got) {
          const where = `${domain === ALL ? '' : `domain ${domain}, `}IOVA 0x${at.toString(16)}`;
          return [`${where}: expected ${expected}, got ${got}`];
        }
      }
    }
    return [];
  }
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** One side's calls for one byte. Of a refused step, only what is left of them in the end. */
function summary(events: readonly Event[], at: bigint, side: Side, refused: boolean): string {
  const ours = events.filter((event) => event.side === side);
  const maps = ours.filter(({ sign }) => sign === 1);
  const unmaps = ours.filter(({ sign }) => sign === -1);
  const balanced = refused ? Math.min(maps.length, unmaps.length) : 0;
  const names = maps.slice(balanced).map(({ memory, shift }) => `map to ${target(memory, at + shift)}`);
  return [...names.sort(), ...unmaps.slice(balanced).map(() => 'unmap')].join(', ') || 'no call';
}

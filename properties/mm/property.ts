/**
 * Mappings of processes in random sequences of mmap, munmap of any range, touch, zap, fork and exit, against the page
 * arrays of the oracle, compared after every step: what is mapped, which leaves there are, and who holds the files.
 */
import * as fc from 'fast-check';
import { unmapMappingRange } from '../../impl/kernel/address-space.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { touch } from '../../impl/kernel/fault.ts';
import { forkMm } from '../../impl/kernel/fork.ts';
import type { Mm } from '../../impl/kernel/mm.ts';
import { mmap } from '../../impl/kernel/mmap.ts';
import { exitMmap, munmap } from '../../impl/kernel/munmap.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { hex, u64 } from '../../impl/kernel/units.ts';
import { HUGE, PageArray } from './oracle.ts';
import { MEMFD_PAGES, MmWorld } from './world.ts';

const KINDS = ['map', 'munmap', 'touch', 'zap', 'fork', 'exit'] as const;
type Kind = (typeof KINDS)[number];

/** A step that is meant; the numbers choose among what there is. */
interface MmIntent {
  readonly what: Kind;
  readonly process: number;
  readonly pick: number;
  readonly from: number;
  readonly size: number;
}

const WEIGHTS: Readonly<Record<Kind, number>> = { map: 5, munmap: 8, touch: 12, zap: 3, fork: 2, exit: 1 };
const MOST_PROCESSES = 4;

const intent: fc.Arbitrary<MmIntent> = fc.record({
  what: fc.oneof(...KINDS.map((kind) => ({ weight: WEIGHTS[kind], arbitrary: fc.constant(kind) }))),
  process: fc.nat(7),
  pick: fc.nat(63),
  from: fc.nat(63),
  size: fc.nat(63),
});

/** What a sequence has done, in words; how often each happened is counted over all. */
export type Seen = Map<string, number>;

const isDevice = (file: string): boolean => file === 'device';
const endOf = (file: string): number => (isDevice(file) ? Number.POSITIVE_INFINITY : MEMFD_PAGES);

/** One sequence under way. */
class Walk {
  readonly world = new MmWorld();
  readonly oracle: PageArray[] = [new PageArray()];
  readonly log: string[] = [];
  readonly #seen: Seen;

  constructor(seen: Seen) {
    this.#seen = seen;
  }

  /** Do it in both worlds. What is wrong, if anything. */
  step(it: MmIntent): string | undefined {
    const at = it.process % this.oracle.length;
    const [mm, array] = [this.world.mms[at] as Mm, this.oracle[at] as PageArray];
    const wrong = this.#act(it, at, mm, array) ?? this.#compare();
    return wrong;
  }

  #say(what: string, at: number, kind: string): void {
    this.log.push(`process ${at}: ${what}`);
    this.#seen.set(kind, (this.#seen.get(kind) ?? 0) + 1);
  }

  #act(it: MmIntent, at: number, mm: Mm, array: PageArray): string | undefined {
    switch (it.what) {
      case 'map':
        return this.#map(it, at, mm, array);
      case 'munmap': {
        const [page, pages] = [
          this.#page(it, array) - (it.size % 3),
          1 + (it.size % 5) * (it.pick % 7 === 0 ? HUGE / 4 : 1),
        ];
        const before = array.runs().length;
        const answer = this.world.call(munmap(mm, u64(page, 0), u64(pages, 0)));
        array.unmap(page, pages);
        this.#say(
          `munmap ${pages} pages at ${hex(page)}`,
          at,
          array.runs().length > before ? 'munmap cuts in two' : 'munmap',
        );
        return answer === undefined ? undefined : `munmap answers ${answer}`;
      }
      case 'touch': {
        const page = this.#page(it, array);
        const found = this.world.call(touch(mm, page, page));
        const shown = array.touch(page, endOf, isDevice);
        const expected = typeof shown === 'string' ? shown : `${shown.file} ${shown.index}`;
        this.#say(`touch ${hex(page)}`, at, typeof shown === 'string' ? shown : `touch of ${shown.file}`);
        const got = typeof found === 'number' ? this.world.nameOf(found) : found;
        return got === expected ? undefined : `the CPU finds ${got}, and should find ${expected}`;
      }
      case 'zap': {
        const file = it.pick % 3 === 0 ? 'memfd' : 'device';
        const first = it.from % 4 === 0 ? HUGE - (it.size % 3) : it.from % 12;
        const last = first + (it.size % 5);
        this.world.call(unmapMappingRange(this.world[file].mapping, first, last));
        const had = this.oracle.map(({ leaves }) => leaves.length);
        for (const each of this.oracle) each.zap(file, first, last);
        const met = this.oracle.filter(({ leaves }, i) => leaves.length < (had[i] as number)).length;
        this.#say(`zap of ${file} ${first} to ${last}`, at, met > 1 ? 'zap in several processes' : 'zap');
        return undefined;
      }
      case 'fork': {
        if (this.oracle.length === MOST_PROCESSES) return undefined;
        const child = this.world.call(forkMm(mm));
        if (isErrno(child)) return `fork answers ${child}`;
        this.world.mms.push(child);
        this.oracle.push(array.fork(isDevice));
        this.#say('fork', at, array.leaves.some(({ pages }) => pages === HUGE) ? 'fork with a huge leaf' : 'fork');
        return undefined;
      }
      case 'exit':
        if (this.oracle.length === 1) return undefined;
        this.world.call(exitMmap(mm));
        this.world.mms.splice(at, 1);
        this.oracle.splice(at, 1);
        this.#say('exit', at, 'exit');
        return undefined;
    }
  }

  #map({ pick, from, size }: MmIntent, at: number, mm: Mm, array: PageArray): string | undefined {
    const name = pick % 3 === 0 ? 'memfd' : 'device';
    const large = name === 'device' && size % 6 === 0;
    const pages = large ? HUGE + (pick % 9) : 1 + (size % 9);
    const pgoff = large && pick % 4 !== 0 ? 0 : from % 7;
    const { file } = this.world.files.get(name) as { file: Parameters<typeof mmap>[1] };
    const vma = this.world.call(mmap(mm, file, { length: u64(pages, 0), offset: u64(pgoff, 0), shared: true }));
    if (isErrno(vma)) return `mmap answers ${vma}`;
    array.map(vma.startPage, pages, name, pgoff);
    this.#say(`map ${pages} pages of ${name} from ${pgoff} at ${hex(vma.startPage)}`, at, 'map');
    return undefined;
  }

  /** A page in, or just beside, what is mapped: mostly near an end of a run. */
  #page({ pick, from }: MmIntent, array: PageArray): number {
    const runs = array.runs();
    const run = runs[pick % Math.max(runs.length, 1)];
    if (run === undefined) return 2 ** 34 + from;
    return from % 2 === 0
      ? run.page + ((from >> 1) % (run.pages + 1))
      : run.page + run.pages - ((from >> 1) % (run.pages + 2));
  }

  #compare(): string | undefined {
    for (const [i, mm] of this.world.mms.entries()) {
      const array = this.oracle[i] as PageArray;
      const mapped = mm.vmas.map((vma) => `${hex(vma.startPage)} ${vma.npages} ${vma.file?.name} ${vma.pgoff}`);
      const runs = array.runs().map((run) => `${hex(run.page)} ${run.pages} ${run.file} ${run.pgoff}`);
      const unlike = differ('mapped', i, mapped, runs);
      if (unlike !== undefined) return unlike;
      const leaves = mm.pageTable.leaves().map(({ page, order }) => `${hex(page)} ${2 ** order}`);
      const wrong = differ(
        'entered',
        i,
        leaves,
        array.leaves.map(({ page, pages }) => `${hex(page)} ${pages}`),
      );
      if (wrong !== undefined) return wrong;
    }
    return this.world.breaches()[0];
  }
}

function differ(what: string, process: number, is: readonly string[], should: readonly string[]): string | undefined {
  if (is.length === should.length && is.toSorted().join() === should.toSorted().join()) return undefined;
  const [more, less] = [is.filter((it) => !should.includes(it)), should.filter((it) => !is.includes(it))];
  return `process ${process} has ${what} [${more.join(', ')}] that it should not, and lacks [${less.join(', ')}]`;
}

function walk(intents: readonly MmIntent[], seen: Seen): string | undefined {
  const it = new Walk(seen);
  for (const each of intents) {
    const wrong = guarded(() => it.step(each));
    if (wrong !== undefined) return [...it.log, wrong].join('\n');
  }
  return undefined;
}

/** What is wrong, or the splat that it ends with. */
function guarded(act: () => string | undefined): string | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof Splat) return error.message;
    throw error;
  }
}

export interface MmOptions {
  readonly seed: number;
  readonly runs: number;
  readonly longest: number;
}

/** Walk sequences until one fails, and shrink that: its steps and what is wrong, a line each. Counts what happened. */
export function checkMappings({ seed, runs, longest }: MmOptions, seen: Seen = new Map()): string | undefined {
  let wrong: string | undefined;
  const property = fc.property(fc.array(intent, { minLength: 1, maxLength: longest, size: 'max' }), (intents) => {
    const found = walk(intents, seen);
    if (found !== undefined) wrong = found;
    return found === undefined;
  });
  return fc.check(property, { seed, numRuns: runs }).failed ? `seed ${seed}\n${wrong}` : undefined;
}

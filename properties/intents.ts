/**
 * Intents: what fast-check draws and shrinks. An intent is a small record of numbers that says "unmap the third area",
 * not which address that is; `resolve` turns it into a command against the current state, so that nearly every one
 * means something, and goes on meaning something while others are taken away. 0 is the simplest value of every field.
 */
import * as fc from 'fast-check';
import type { Command } from '../trace/command.ts';

export interface Intent {
  /** Which command: an index of MIX. */
  readonly what: number;
  /** Which object of several. */
  readonly pick: number;
  /** Where in the memory. */
  readonly from: number;
  /** How much of it. */
  readonly size: number;
  /** Where in the address space. */
  readonly at: number;
  /** How: protection, fixed or automatic, aligned or not. */
  readonly how: number;
  /** Below WRONG_BELOW: deliberately wrong, and in which way. */
  readonly odd: number;
}

/** Values of every field but `what` are below this. */
export const FIELD = 1 << 10;

/** One intent in six or so is wrong on purpose. */
export const WRONG_BELOW = FIELD / 6;

/** How often each command is meant, beside the others. What cannot be done as yet becomes what must be done before. */
export const MIX: readonly (readonly [Command['do'], number])[] = [
  ['ioas_map_file', 262],
  ['ioas_copy', 120],
  ['ioas_unmap', 80],
  ['ioas_map', 54],
  ['dma_read', 50],
  ['vfio_export', 56],
  ['vfio_memory', 42],
  ['vfio_attach', 43],
  ['ioas_iova_ranges', 25],
  ['hwpt_alloc', 22],
  ['fd_close', 20],
  ['destroy', 20],
  ['vfio_reset', 8],
  ['vfio_flr', 8],
  ['vfio_hot_reset', 7],
  ['vfio_power', 12],
  ['vfio_low_power_entry', 7],
  ['vfio_low_power_exit', 6],
  ['vfio_wake', 3],
  ['vfio_dmabuf_revoke', 8],
  ['vfio_dmabuf_memattr', 8],
  ['vfio_detach', 9],
  ['fd_dup', 11],
  ['ioas_alloc', 9],
  ['mem_alloc', 6],
  ['memfd_create', 6],
  ['vfio_open', 5],
  ['vfio_bind', 6],
  ['vfio_close', 3],
  ['iommufd_open', 4],
  ['iommufd_close', 2],
  ['bar_mmap', 16],
  ['peek', 20],
  ['munmap', 6],
  ['fd_mmap', 12],
  ['fork', 4],
  ['exit', 3],
  ['ioas_allow_iovas', 16],
  ['ioas_option_huge_pages', 14],
  ['mock_domain', 11],
  ['mock_domain_destroy', 5],
  ['mock_dmabuf', 9],
  ['mock_revoke', 9],
];

/** From a number to the command; the most frequent are the lowest, and so the simplest. */
export const WEIGHTED: readonly Command['do'][] = MIX.flatMap(([what, weight]) =>
  Array<Command['do']>(weight).fill(what),
);

/** The lowest number of each command. */
const FIRST: readonly number[] = MIX.map(([what]) => WEIGHTED.indexOf(what));

/** The simplest intent for a command. */
export const intentFor = (what: Command['do'], fields: Partial<Intent> = {}): Intent => ({
  what: WEIGHTED.indexOf(what),
  pick: 0,
  from: 0,
  size: 0,
  at: 0,
  how: 0,
  odd: FIELD - 1,
  ...fields,
});

/**
 * Sequences of up to `longest` intents. Two draws of 32 bits make one; shrinking takes out runs of intents, longest
 * first, then makes the fields of single ones simpler, so that what is left is needed.
 */
export const intents = (longest: number, meant?: Meant): fc.Arbitrary<readonly Intent[]> => new Intents(longest, meant);

/** An intent as another mix than MIX has it. */
export type Meant = (drawn: Intent) => Intent;

class Intents extends fc.Arbitrary<readonly Intent[]> {
  readonly #longest: number;
  readonly #meant: Meant | undefined;

  constructor(longest: number, meant: Meant | undefined) {
    super();
    this.#longest = longest;
    this.#meant = meant;
  }

  override generate(random: fc.Random): fc.Value<readonly Intent[]> {
    const length = random.nextInt(1, this.#longest);
    const drawn = new Array<Intent>(length);
    for (let i = 0; i < length; i++) {
      const intent = draw(random.nextInt(), random.nextInt());
      drawn[i] = this.#meant?.(intent) ?? intent;
    }
    return new fc.Value(drawn, undefined);
  }

  override canShrinkWithoutContext(value: unknown): value is readonly Intent[] {
    return Array.isArray(value);
  }

  override shrink(value: readonly Intent[]): fc.Stream<fc.Value<readonly Intent[]>> {
    return fc.stream(simpler(value)).map((smaller) => new fc.Value(smaller, undefined));
  }
}

/** One intent, drawn as those of sequences are, for whoever wants them one by one. */
export const oneIntent: fc.Arbitrary<Intent> = fc
  .noBias(fc.tuple(fc.integer(), fc.integer()))
  .map(([a, b]) => draw(a, b));

/** Two draws of 32 bits, cut into fields. */
function draw(a: number, b: number): Intent {
  return {
    what: ((a >>> 20) * WEIGHTED.length) >>> 12,
    pick: (a >>> 10) & (FIELD - 1),
    from: a & (FIELD - 1),
    size: b >>> 22,
    at: (b >>> 12) & (FIELD - 1),
    how: (b >>> 2) & (FIELD - 1),
    odd: Math.imul(a ^ (b >>> 7), 0x9e3779b1) >>> 22,
  };
}

function* simpler(all: readonly Intent[]): Generator<readonly Intent[]> {
  for (let run = all.length; run >= 1; run = run >> 1) {
    for (let at = all.length - run; at >= 0; at -= run) {
      if (run < all.length) yield [...all.slice(0, at), ...all.slice(at + run)];
    }
  }
  for (const [at, intent] of all.entries()) {
    for (const simple of simplerIntents(intent)) yield all.with(at, simple);
  }
}

const FIELDS = ['pick', 'from', 'size', 'at', 'how'] as const;

function* simplerIntents(intent: Intent): Generator<Intent> {
  if (intent.odd < WRONG_BELOW) yield { ...intent, odd: FIELD - 1 };
  for (const first of FIRST) if (first < intent.what) yield { ...intent, what: first };
  for (const field of FIELDS) {
    const value = intent[field];
    if (value === 0) continue;
    yield { ...intent, [field]: 0 };
    if (value > 1) yield { ...intent, [field]: value >> 1 };
    if (value > 2) yield { ...intent, [field]: value - 1 };
  }
}

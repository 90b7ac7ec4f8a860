/** Programs with lower numbers: addresses go down to where all begin, offsets and lengths to nothing or one page. */
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import type { Program } from '../concurrent/program.ts';
import { changed, each } from './commands.ts';

interface Kind {
  readonly origin: bigint;
  /** The same number is the same place wherever it is, and no other number's. */
  readonly places: boolean;
  readonly has: (key: string, command: Command, config: MachineConfig) => boolean;
}

const ADDRESSES: ReadonlySet<string> = new Set(['iova', 'dst_iova', 'src_iova']);
const isAddress: Kind['has'] = (key, command) => ADDRESSES.has(key) || command.do === 'ioas_allow_iovas';
const isSize: Kind['has'] = (...where) => !isAddress(...where) && !isWhole(...where);

/** A BAR that is exported whole: no slice of it is simpler. */
const isWhole: Kind['has'] = (_, command, { devices }) => {
  if (command.do !== 'vfio_export') return false;
  const size = devices.get(command.dev)?.bars.get(command.region);
  return command.ranges.every(([from, length]) => from === 0n && length === size);
};

/** The lowest address that every machine translates, and zero. */
const KINDS: readonly Kind[] = [
  { origin: 0x100_0000n, places: true, has: isAddress },
  { origin: 0n, places: false, has: isSize },
];

/** An address wherever it is, while it is no other; another number wherever it is, and then once. */
export function* withLowerNumbers(program: Program): Generator<Program> {
  for (const kind of KINDS) {
    const numbers = numbersIn(program, kind);
    for (const [number, times] of numbers) {
      for (const lower of lowerThan(number, kind.origin)) {
        if (kind.places && numbers.has(lower)) continue;
        yield withNumbers(program, kind, (value) => (value === number ? lower : value));
        for (let one = 0; !kind.places && times > 1 && one < times; one++) {
          let time = 0;
          yield withNumbers(program, kind, (value) => (value === number && time++ === one ? lower : value));
        }
      }
    }
  }
}

const withNumbers = (program: Program, { has }: Kind, change: (value: unknown) => unknown): Program =>
  each(program, (command) =>
    changed(command, (value, key) => (has(key, command, program.config) ? change(value) : value)),
  );

/** The length of everything. */
const EVERYTHING = 2n ** 64n - 1n;

/** How often each is there, the highest first. */
function numbersIn(program: Program, kind: Kind): ReadonlyMap<bigint, number> {
  const times = new Map<bigint, number>();
  withNumbers(program, kind, (value) => {
    if (typeof value === 'bigint') times.set(value, (times.get(value) ?? 0) + 1);
    return value;
  });
  times.delete(EVERYTHING);
  return new Map([...times].sort(([a], [b]) => (a < b ? 1 : -1)));
}

const PAGE = 0x1000n;

/** The lowest; half way there; and one page, or what is left over of one, less. An address below its origin is odd. */
function* lowerThan(number: bigint, origin: bigint): Generator<bigint> {
  if (number === origin) return;
  const lowest = number < origin ? 0n : origin;
  const pages = (number - lowest) / PAGE;
  const whole = lowest + pages * PAGE;
  const next = whole < number ? whole : whole - PAGE;
  if (number > lowest) yield lowest;
  if (pages > 1n) yield lowest + (pages >> 1n) * PAGE;
  if (next > lowest) yield next;
}

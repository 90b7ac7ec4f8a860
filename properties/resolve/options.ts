/** Intents about an IOAS as a whole: where the kernel may choose, and whether it may use large pages. */
import type { Ioas } from '../../model/spec.ts';
import type { Command, Interval } from '../../trace/command.ts';
import type { Intent } from '../intents.ts';
import { WINDOW } from './areas.ts';

const PAGE = 0x1000n;

/**
 * Nothing, which is anything; or one range or two where fixed areas are, too: with a gap, or none, and at times a byte
 * too short for what would fit. Before there is a domain, also what most domains reserve.
 */
export function allowOf({ space, domains }: Ioas, { how, at, size }: Intent): Command {
  const first = BigInt(WINDOW) + PAGE * BigInt(at % 64);
  const touch = how % 8 === 1;
  const short = size % 4 === 1 ? 1n : 0n;
  const low = pages(first, 1 + (size % (at % 2 === 0 ? 4 : 64)));
  const high = touch ? pages(low[1] + 1n, 1 + (at % 3)) : pages(low[1] + 1n + PAGE, 0x3ff);
  const one: Interval = how % 4 === 2 ? high : low;
  const reserved = how % 16 === 11 && domains.length === 0;
  const ranges = how % 4 === 0 ? [] : how % 4 === 1 ? [low, high] : [[one[0], one[1] - short] as const];
  return { do: 'ioas_allow_iovas', ioas: space.name, ranges: reserved ? [[PAGE, 0xffff_ffffn]] : ranges };
}

const pages = (first: bigint, count: number): Interval => [first, first + PAGE * BigInt(count) - 1n];

export const hugePagesOf = ({ space, largePages }: Ioas, { how }: Intent): Command => ({
  do: 'ioas_option_huge_pages',
  ioas: space.name,
  enable: how % 4 === 0 ? largePages : !largePages,
});

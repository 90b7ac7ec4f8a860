/** Intents about an IOAS as a whole: where the kernel may choose, and whether it may use large pages. */
import type { Ioas } from '../model/spec.ts';
import type { Command, Interval } from '../trace/command.ts';
import type { Intent } from './intents.ts';
import { WINDOW } from './resolve-areas.ts';

const PAGE = 0x1000n;

/** Nothing, which is anything; or one range or two where fixed areas are, too. */
export function allowOf({ space }: Ioas, { how, at, size }: Intent): Command {
  const first = WINDOW + PAGE * BigInt(at % 64);
  const low: Interval = [first, first + PAGE * BigInt(1 + (size % 64)) - 1n];
  const high: Interval = [low[1] + PAGE, low[1] + 0x400n * PAGE];
  const ranges = how % 4 === 0 ? [] : how % 4 === 1 ? [low, high] : how % 4 === 2 ? [high] : [low];
  return { do: 'ioas_allow_iovas', ioas: space.name, ranges };
}

export const hugePagesOf = ({ space, largePages }: Ioas, { how }: Intent): Command => ({
  do: 'ioas_option_huge_pages',
  ioas: space.name,
  enable: how % 4 === 0 ? largePages : !largePages,
});

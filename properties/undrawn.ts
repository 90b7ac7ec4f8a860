/** Commands that the model does not carry out yet: random sequences have none, and a trace with one is skipped. */
import type { Command } from '../trace/command.ts';

export const UNDRAWN = [
  'ioas_allow_iovas',
  'ioas_option_huge_pages',
  'bar_mmap',
  'fd_mmap',
  'peek',
  'munmap',
  'mock_domain',
  'mock_domain_destroy',
  'mock_dmabuf',
  'mock_revoke',
] as const satisfies readonly Command['do'][];

/** The commands that random sequences have. */
export type Drawn = Exclude<Command['do'], (typeof UNDRAWN)[number]>;

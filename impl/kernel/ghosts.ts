/**
 * Ghost state of one kernel, which no kernel has: what lives, and what an audit needs to know which of the things that
 * it has found right are so still. Numbers only grow, so that two that are the same say that nothing has happened.
 */
import type { Live } from './live.ts';

export class Ghosts {
  readonly files = new Set<Live>();
  readonly pages = new Set<Live>();
  /** How often what the CPU has mapped has changed: an entry of a page table, a mapping, the tree of a file. */
  mappingChanges = 0;
  /** What that was when an audit last found the mappings right. */
  mappingsFoundRight: number | undefined;
  /** How often a table of descriptors, or of the objects of a context, has changed. */
  tableChanges = 0;
  /** What that and the number of locks taken came to when an audit last found everything right. */
  foundRight: number | undefined;
}

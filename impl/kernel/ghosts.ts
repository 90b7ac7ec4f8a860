/**
 * Ghost state of one kernel, which no kernel has: what lives, and what an audit needs to know which of the things that
 * it has found right are so still. Numbers only grow, so that two that are the same say that nothing has happened.
 */
import { List } from './list.ts';
import type { Live } from './live.ts';

/** What an audit looks at again only if it was disturbed. */
export interface Audited {
  /** The audit before which it last was. */
  disturbed: number;
}

/**
 * Audited in the place of an object of a kind of which there are few. What is disturbed is so of four classes at most,
 * which the engine tells apart at once; a fifth makes it look up every field.
 */
export class Ghost implements Audited {
  disturbed = 0;
  readonly of: object;

  constructor(of: object) {
    this.of = of;
  }
}

/** More than so many are not kept for an audit that may never come: it looks at everything then. */
const MANY = 1000;

export class Ghosts {
  readonly files = new List<Live>();
  readonly pages = new List<Live>();
  /** What was disturbed since the last audit, each once; some of it is gone. It is the first `count` of these. */
  readonly disturbed: Audited[] = [];
  /** The others were so before: a list that is emptied must grow anew, which every step would pay for. */
  count = 0;
  /** The number of the next audit, and of the last that counted references. */
  audits = 1;
  counted = 0;
  /** Whether an access has ever pinned pages. */
  accessed = false;
  /** What went although somebody had it, a line each. */
  readonly orphans: string[] = [];
  /** How often what the CPU has mapped has changed: an entry of a page table, a mapping, the tree of a file. */
  mappingChanges = 0;
  /** What that was when an audit last found the mappings right. */
  mappingsFoundRight: number | undefined;
  /** How often a count of pins or charges has changed. */
  chargeChanges = 0;
  /** What that was at the last audit. One that finds something wrong makes the next look at everything. */
  chargesAudited = 0;
  /** How often a table of descriptors, or of the objects of a context, has changed. */
  tableChanges = 0;
  /** What that and the number of locks taken came to when an audit last found everything right. */
  foundRight: number | undefined;

  /** Something changes that an audit looks at. */
  disturb(it: Audited): void {
    if (this.count < MANY) this.lookAt(it);
    else this.foundRight = undefined;
  }

  /**
   * The audit looks at something that is still being made, with only some of its fields; so they are not asked for. The
   * audit before which it is disturbed by now.
   */
  born(it: Audited): number {
    if (this.count >= MANY) {
      this.foundRight = undefined;
      return 0;
    }
    this.disturbed[this.count++] = it;
    return this.audits;
  }

  /** The audit looks at it. */
  lookAt(it: Audited): void {
    if (it.disturbed === this.audits) return;
    it.disturbed = this.audits;
    this.disturbed[this.count++] = it;
  }

  /** An audit is over. */
  settle(foundRight: number | undefined): void {
    this.foundRight = foundRight;
    this.chargesAudited = this.chargeChanges;
    this.audits++;
    this.count = 0;
    if (this.disturbed.length > MANY) this.disturbed.length = 0;
  }
}

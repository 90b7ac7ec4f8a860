/**
 * The memory in which a process keeps the arguments of its system calls: stretches of bytes, some of them read-only,
 * and nothing in between. A copy that leaves them faults; it is an answer, never an exception.
 */
import { add, atMost, bytes, lastOf, sub, toNumber, type UserAddr } from '../kernel/units.ts';

interface Stretch {
  readonly start: UserAddr;
  readonly last: UserAddr;
  readonly content: Uint8Array;
  readonly writable: boolean;
}

/** No stretch is longer, so that an offset in one is a plain number. */
const LONGEST = 2 ** 32;

export class UserMemory {
  /** Disjoint, in the order in which they came; there are few. */
  readonly #stretches: Stretch[] = [];

  /** Let `content`, which may be empty, lie at `start`. What the kernel writes there shows in it. */
  map(start: UserAddr, content: Uint8Array, writable = true): void {
    if (content.length === 0) return;
    const last = content.length <= LONGEST ? lastOf(start, bytes(content.length)) : undefined;
    if (last === undefined) throw new Error('user memory ends beyond its last address');
    if (this.#stretches.some((it) => atMost(it.start, last) && atMost(start, it.last))) {
      throw new Error('user memory overlaps itself');
    }
    this.#stretches.push({ start, last, content, writable });
  }

  /** Take all of it away. */
  clear(): void {
    this.#stretches.length = 0;
  }

  /** copy_from_user(). Fails: EFAULT */
  read(from: UserAddr, length: number): Uint8Array | 'EFAULT' {
    const copy = new Uint8Array(length);
    const whole = this.#each(from, length, (here, at) => copy.set(here, at));
    return whole ? copy : 'EFAULT';
  }

  /** copy_to_user(): what comes before a fault is written. Fails: EFAULT */
  write(to: UserAddr, content: Uint8Array): 'EFAULT' | undefined {
    const whole = this.#each(
      to,
      content.length,
      (here, at) => here.set(content.subarray(at, at + here.length)),
      ({ writable }) => writable,
    );
    return whole ? undefined : 'EFAULT';
  }

  /** check_zeroed_user(): whether there is nothing but zeros; the first other byte ends the search. Fails: EFAULT */
  zeroed(from: UserAddr, length: number): boolean | 'EFAULT' {
    let zero = true;
    const whole = this.#each(
      from,
      length,
      (here) => {
        zero = here.every((byte) => byte === 0);
      },
      () => zero,
    );
    return !zero ? false : whole ? true : 'EFAULT';
  }

  /**
   * Visit [from, from + length) piece by piece, each with its distance from `from`. False where nothing lies, or where
   * a stretch may not be used.
   */
  #each(
    from: UserAddr,
    length: number,
    visit: (here: Uint8Array, at: number) => void,
    may: (stretch: Stretch) => boolean = () => true,
  ): boolean {
    for (let at = 0; at < length; ) {
      const address = add(from, bytes(at));
      const stretch = this.#stretches.find(({ start, last }) => atMost(start, address) && atMost(address, last));
      if (stretch === undefined || !may(stretch)) return false;
      const offset = toNumber(sub(address, stretch.start));
      const count = Math.min(length - at, stretch.content.length - offset);
      visit(stretch.content.subarray(offset, offset + count), at);
      at += count;
    }
    return true;
  }
}

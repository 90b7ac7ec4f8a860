/** What can be in a list: it carries the list's pointers, as kernel structures embed a `list_head`. */
export interface Listed<T> {
  list: object | undefined;
  previous: T | undefined;
  next: T | undefined;
}

/** A list in the order in which its members came. To come and to go costs the same however many there are. */
export class List<T extends Listed<T>> {
  #first: T | undefined;
  #last: T | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The oldest; behind each comes its `next`. */
  get first(): T | undefined {
    return this.#first;
  }

  has(member: T): boolean {
    return member.list === this;
  }

  /** At the end; who is there already stays where it is. A member of another list must have left that. */
  add(member: T): void {
    if (member.list === this) return;
    member.list = this;
    member.previous = this.#last;
    member.next = undefined;
    if (this.#last === undefined) this.#first = member;
    else this.#last.next = member;
    this.#last = member;
    this.#size++;
  }

  /** Nothing happens to who is not there. */
  delete(member: T): void {
    if (member.list !== this) return;
    const { previous, next } = member;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    member.list = undefined;
    this.#size--;
  }

  *[Symbol.iterator](): Generator<T, void> {
    for (let at = this.#first; at !== undefined; at = at.next) yield at;
  }
}

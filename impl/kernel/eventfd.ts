/** An eventfd: a counter behind a descriptor, by which the kernel tells a process of events. */
import { File } from './file.ts';
import { Kref } from './kref.ts';
import { free } from './poison.ts';
import type { Thread } from './thread.ts';

/** `eventfd_ctx` */
export class Eventfd {
  /** Events that nobody has read yet. */
  count = 0;

  /** Of the file, and of each device that is to tell of a wakeup. */
  readonly #refs = new Kref('eventfd');

  /** `eventfd_signal()` */
  signal(): void {
    this.count++;
  }

  get(): void {
    this.#refs.get();
  }

  /** `eventfd_ctx_put()` */
  put(): void {
    if (this.#refs.put()) free(this, 'eventfd_ctx');
  }
}

/** eventfd(2): a file for the process. */
export function newEventfd(): File {
  const eventfd = new Eventfd();
  return new File('eventfd', eventfd, function* (): Thread {
    eventfd.put();
  });
}

/** `eventfd_ctx_fdget()`: undefined for a file that is no eventfd. */
export const eventfdOf = ({ what }: File): Eventfd | undefined => (what instanceof Eventfd ? what : undefined);

/** An eventfd: a counter behind a descriptor, by which the kernel tells a process of events. */
import { File } from './file.ts';
import type { Thread } from './thread.ts';

/** `eventfd_ctx` */
export class Eventfd {
  /** Events that nobody has read yet. */
  count = 0;

  /** `eventfd_signal()` */
  signal(): void {
    this.count++;
  }
}

/** eventfd(2): a file for the process. */
export function newEventfd(): File {
  return new File('eventfd', new Eventfd(), function* (): Thread {});
}

/** `eventfd_ctx_fdget()`: undefined for a file that is no eventfd. */
export const eventfdOf = ({ what }: File): Eventfd | undefined => (what instanceof Eventfd ? what : undefined);

/**
 * Open files and the table that names them. The last fput is deferred: release runs when the system call returns to
 * user space, because it takes locks that the dropper may hold.
 */
import type { Errno } from './errno.ts';
import { LOCKLESS, looksAt, touches } from './footprint.ts';
import { Kref } from './kref.ts';
import { Live, tablesChange } from './live.ts';
import { free } from './poison.ts';
import { current, shouldFail, type Thread } from './thread.ts';

/** `f_mode`, as far as mappings ask. */
export interface FileMode {
  readonly readable: boolean;
  readonly writable: boolean;
}

const READ_WRITE: FileMode = { readable: true, writable: true };

/** An open file. `what` is the object behind it; each subsystem recognises its own. */
export class File extends Live {
  readonly name: string;
  readonly refs: Kref;
  readonly what: object;
  readonly mode: FileMode;
  readonly #release: () => Thread;

  constructor(name: string, what: object, release: () => Thread, mode: FileMode = READ_WRITE) {
    super('files');
    this.name = name;
    this.refs = new Kref(`file ${name}`, this);
    this.what = what;
    this.mode = mode;
    this.#release = release;
  }

  get(): void {
    this.refs.get();
  }

  /** get_file_active(): false when the last reference is already gone. */
  getActive(): boolean {
    return this.refs.getActive();
  }

  /** fput(): the last one defers the release to the end of the system call. */
  put(): void {
    if (!this.refs.put()) return;
    this.gone();
    current().work.push(() => this.#finalPut());
  }

  /** `__fput()` */
  *#finalPut(): Thread {
    yield* this.#release();
    free(this, 'file');
  }

  get references(): number {
    return this.refs.count;
  }

  get label(): string {
    return `file ${this.name}`;
  }
}

/** A process's descriptors. */
export class FdTable {
  readonly #files = new Map<number, File>();
  #lowest = 3;

  /** Install the file under the lowest free number; takes over the caller's reference on success only. EMFILE. */
  install(file: File): number | Errno {
    touches(LOCKLESS);
    if (shouldFail('get_unused_fd')) return 'EMFILE';
    let fd = this.#lowest;
    while (this.#files.has(fd)) fd++;
    this.#files.set(fd, file);
    tablesChange();
    this.#lowest = fd + 1;
    return fd;
  }

  /** fget() without the reference: the file, or undefined. */
  lookup(fd: number): File | undefined {
    looksAt(LOCKLESS);
    return this.#files.get(fd);
  }

  /** close(2): EBADF. */
  close(fd: number): Errno | undefined {
    touches(LOCKLESS);
    const file = this.#files.get(fd);
    if (file === undefined) return 'EBADF';
    this.#files.delete(fd);
    tablesChange();
    if (fd < this.#lowest) this.#lowest = fd;
    file.put();
    return undefined;
  }

  /** dup_fd(): the same files under the same numbers, each held once more. Fails: ENOMEM */
  copy(): FdTable | Errno {
    touches(LOCKLESS);
    if (shouldFail('dup_fd')) return 'ENOMEM';
    tablesChange();
    const copy = new FdTable();
    for (const [fd, file] of this.#files) {
      file.get();
      copy.#files.set(fd, file);
    }
    copy.#lowest = this.#lowest;
    return copy;
  }

  /** close_range(2) of all there are. */
  closeAll(): void {
    for (const fd of [...this.#files.keys()]) this.close(fd);
  }

  get files(): IterableIterator<File> {
    return this.#files.values();
  }

  /** By number. */
  get entries(): IterableIterator<[number, File]> {
    return this.#files.entries();
  }

  get size(): number {
    return this.#files.size;
  }
}

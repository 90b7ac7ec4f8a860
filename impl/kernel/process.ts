/**
 * Who makes system calls, as far as pinned memory is charged to him: a process has an address space, belongs to a user,
 * and may be allowed to lock as much as it likes. What may change at any time, setuid(2) and setrlimit(2), is a plain
 * field, for tests to set.
 */
import { chargesChange } from './live.ts';
import type { Mm } from './mm.ts';
import { type Bytes, U64_MAX } from './units.ts';

/** struct user_struct: what all processes of a user have locked together. */
export class User {
  readonly name: string;
  #lockedVm = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Pages charged to the user, against the RLIMIT_MEMLOCK of the process that asks. */
  get lockedVm(): number {
    return this.#lockedVm;
  }

  set lockedVm(lockedVm: number) {
    this.#lockedVm = lockedVm;
    chargesChange();
  }
}

export class Process {
  readonly name: string;
  readonly mm: Mm;
  user: User;
  /** RLIMIT_MEMLOCK; the part of a page at its end counts for nothing. U64_MAX is no limit. */
  rlimitMemlock: Bytes = U64_MAX;
  /** CAP_IPC_LOCK: what it pins is charged to nobody. */
  capIpcLock = true;
  /** CAP_SYS_RESOURCE: it may say whom a context charges. */
  capSysResource = true;

  constructor(name: string, mm: Mm, user: User) {
    this.name = name;
    this.mm = mm;
    this.user = user;
  }
}

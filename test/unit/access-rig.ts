/** What the unit tests of accesses share: a machine with memory of known contents, and drivers with accesses. */
import type { Access } from '../../impl/iommufd/access.ts';
import type { Area } from '../../impl/iommufd/area.ts';
import {
  type MockAccess,
  mockAccessPages,
  mockAccessRw,
  mockCreateAccess,
  mockDestroyAccess,
  mockDestroyAccessPages,
  mockReplaceIoas,
  NEEDS_PIN_PAGES,
  PIN_WRITE,
} from '../../impl/iommufd/mock-access.ts';
import { type MockQueue, mockQueueCreate, mockQueueDestroy } from '../../impl/iommufd/mock-queue.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { A, CONFIG, Rig } from './iommufd-rig.ts';

/** `m`: 16 pages of user memory; `f`: as much of a memfd. Byte n of either is n / 16, cut to a byte. */
export const MEMORY: readonly Command[] = [
  { do: 'mem_alloc', as: 'm', length: 0x10000n },
  { do: 'memfd_create', as: 'f', length: 0x10000n },
];
/** Eight pages of `m` at A. */
export const MAP: Extract<Command, { do: 'ioas_map' }> = {
  do: 'ioas_map',
  ioas: 'ioas',
  mem: 'm',
  offset: 0n,
  length: 0x8000n,
  prot: 'rw',
  iova: A,
};

export const contentAt = (at: number): number => (at >> 4) & 0xff;
const CONTENTS = Uint8Array.from({ length: 0x10000 }, (_, at) => contentAt(at));

export class AccessRig extends Rig {
  constructor(commands: readonly Command[] = [], config: MachineConfig = CONFIG, kernel = '7.2') {
    super(config, kernel);
    this.must(...MEMORY);
    for (const name of ['m', 'f']) this.backing(name).write(0, CONTENTS);
    this.must(...commands);
    this.calls();
  }

  /** CREATE_ACCESS on an IOAS, for pinning unless told otherwise. */
  create(ioas = 'ioas', flags = NEEDS_PIN_PAGES): MockAccess {
    const mock = this.tryCreate(ioas, flags);
    if (isErrno(mock)) throw new Error(`an access answers ${mock}`);
    return mock;
  }

  tryCreate(ioas: string, flags: number): MockAccess | Errno {
    return this.call(mockCreateAccess(this.ioas().ctx, this.ioas(ioas).id, flags));
  }

  /** The number of the pin, or why not. */
  pin(mock: MockAccess, iova: bigint, length: bigint, write = true): number | Errno {
    const args = { iova: fromBigint(iova), length: fromBigint(length), flags: write ? PIN_WRITE : 0 };
    return this.call(mockAccessPages(mock, args));
  }

  unpin(mock: MockAccess, id: number): Errno | undefined {
    return this.call(mockDestroyAccessPages(mock, id));
  }

  /** Bytes as a driver of the process reads them, or why not. */
  read(mock: MockAccess, iova: bigint, length: number, flags = 0): number[] | Errno {
    const data = new Uint8Array(length);
    return this.call(mockAccessRw(mock, fromBigint(iova), data, flags, this.machine.mm)) ?? [...data];
  }

  close(mock: MockAccess): void {
    this.call(mockDestroyAccess(mock));
  }

  replace(mock: MockAccess, ioas: string): Errno | undefined {
    return this.call(mockReplaceIoas(mock, this.ioas(ioas).id));
  }

  queue(iova: bigint, length: bigint): MockQueue | Errno {
    return this.call(mockQueueCreate(this.ioas(), fromBigint(iova), fromBigint(length)));
  }

  closeQueue(queue: MockQueue): void {
    this.call(mockQueueDestroy(queue));
  }

  /** The areas of an IOAS, ascending. */
  areas(ioas = 'ioas'): readonly Area[] {
    return this.ioas(ioas).iopt.areas.all();
  }

  /** How often each page of a memory is pinned, as `11220000`. */
  pins(name = 'm'): string {
    const backing = this.backing(name);
    return Array.from({ length: backing.pages }, (_, page) => backing.pinsOf(page)).join('');
  }

  alignment(ioas = 'ioas'): number {
    return this.ioas(ioas).iopt.alignment;
  }

  accesses(ioas = 'ioas'): Access[] {
    return [...this.ioas(ioas).iopt.accesses];
  }
}

/**
 * One machine and one process that makes raw system calls on it. The process knows its descriptors and its memory, as
 * any would; what else a call may name is looked up in the machine, so that calls mean something.
 */
import { DmaBuf } from '../../impl/dmabuf/dma-buf.ts';
import { IommufdCtx } from '../../impl/iommufd/context.ts';
import { fromBigint, type UserAddr } from '../../impl/kernel/units.ts';
import { Machine } from '../../impl/machine.ts';
import { SystemCalls } from '../../impl/uapi/system-calls.ts';
import { VfioDeviceFile } from '../../impl/vfio/vfio-device.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

/** What a descriptor is of. */
export type Kind = 'iommufd' | 'device' | 'buffer' | 'memfd';

/** Memory of the process that it may map for DMA. */
export interface Block {
  readonly address: UserAddr;
  readonly pages: number;
}

export class RawWorld {
  readonly machine: Machine;
  readonly calls: SystemCalls;
  readonly blocks: Block[] = [];
  /** What there was after the last call; undefined when something else has happened since. */
  fingerprint: string | undefined;
  readonly #fds = new Set<number>();
  #made = 0;

  constructor(config: MachineConfig, kernel: string) {
    this.machine = new Machine(config, kernel);
    this.calls = new SystemCalls(this.machine);
  }

  get fds(): readonly number[] {
    return [...this.#fds];
  }

  /** Take note of a descriptor that a call has given. */
  opened(fd: number): void {
    this.#fds.add(fd);
    this.fingerprint = undefined;
  }

  closed(fd: number): void {
    this.#fds.delete(fd);
    this.fingerprint = undefined;
  }

  /** The descriptors of a kind. */
  of(kind: Kind): number[] {
    return this.fds.filter((fd) => this.kindOf(fd) === kind);
  }

  kindOf(fd: number): Kind | undefined {
    const what = this.machine.fds.lookup(fd)?.what;
    if (what === undefined) return undefined;
    if (what instanceof IommufdCtx) return 'iommufd';
    if (what instanceof VfioDeviceFile) return 'device';
    return what instanceof DmaBuf ? 'buffer' : 'memfd';
  }

  context(fd: number): IommufdCtx | undefined {
    const what = this.machine.fds.lookup(fd)?.what;
    return what instanceof IommufdCtx ? what : undefined;
  }

  deviceFile(fd: number): VfioDeviceFile | undefined {
    const what = this.machine.fds.lookup(fd)?.what;
    return what instanceof VfioDeviceFile ? what : undefined;
  }

  /** mmap(2) of anonymous memory. */
  mapMemory(pages: number): void {
    const as = `m${++this.#made}`;
    this.machine.execute({ do: 'mem_alloc', as, length: BigInt(pages) << 12n });
    const named = this.machine.names.get(as);
    if (named?.kind === 'mem') this.blocks.push({ address: named.address, pages });
  }

  /** memfd_create(2) */
  createMemfd(pages: number): void {
    const as = `f${++this.#made}`;
    this.machine.execute({ do: 'memfd_create', as, length: BigInt(pages) << 12n });
    const named = this.machine.names.get(as);
    if (named?.kind === 'file') this.opened(named.fd);
  }
}

/** An address of the process at which the arguments of a call lie. */
export const ARGUMENTS: UserAddr = fromBigint(0x1_0000n);
/** And one for arrays. */
export const ARRAYS: UserAddr = fromBigint(0x20_0000n);

/**
 * The ways in which physical ranges become addresses for a device, by the bus, by one window of IOVAs, or range by
 * range. Each maps the ranges in their order, and can undo at any time just what it has done so far.
 */
import type { DmaApi, DmaDirection, DmaIovaState } from '../iommu/dma-api.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { warnOn } from '../kernel/splat.ts';
import { busAddrMap, type P2pdmaProvider } from '../pci/p2pdma.ts';
import type { Segment } from './sg-entries.ts';
import type { PhysVec } from './sg-table.ts';

export interface DmaPath {
  /** What the device will find contiguous, in bytes. */
  lengths(ranges: readonly PhysVec[]): readonly number[];
  map(range: PhysVec): Errno | undefined;
  /** All ranges are mapped: the hardware must know. */
  sync(): Errno | undefined;
  /** What the device sees of all ranges. */
  segments(): readonly Segment[];
  /** Give back what was mapped, and what was allocated before. */
  destroy(): void;
}

const lengthsOf = (ranges: readonly PhysVec[]): readonly number[] => ranges.map(({ len }) => len);

/** `PCI_P2PDMA_MAP_BUS_ADDR`: what a switch passes on, which nobody has to be told. */
export class BusPath implements DmaPath {
  readonly #provider: P2pdmaProvider;
  readonly #segments: Segment[] = [];

  constructor(provider: P2pdmaProvider) {
    this.#provider = provider;
  }

  lengths(ranges: readonly PhysVec[]): readonly number[] {
    return lengthsOf(ranges);
  }

  map({ paddr, len }: PhysVec): undefined {
    this.#segments.push({ addr: busAddrMap(this.#provider, paddr), length: len });
  }

  sync(): undefined {}

  segments(): readonly Segment[] {
    return this.#segments;
  }

  destroy(): void {}
}

/** One window of IOVAs, in which the ranges follow one another. */
export class IovaPath implements DmaPath {
  readonly #dma: DmaApi;
  readonly #dir: DmaDirection;
  readonly #state: DmaIovaState;
  #mapped = 0;

  constructor(dma: DmaApi, dir: DmaDirection, state: DmaIovaState) {
    this.#dma = dma;
    this.#dir = dir;
    this.#state = state;
  }

  lengths(): readonly number[] {
    return [this.#state.size];
  }

  map({ paddr, len }: PhysVec): Errno | undefined {
    const failed = this.#dma.iovaLink(this.#state, paddr, this.#mapped, len, this.#dir);
    if (failed === undefined) this.#mapped += len;
    return failed;
  }

  sync(): Errno | undefined {
    const { size } = this.#state;
    warnOn(this.#mapped !== size, `${this.#mapped} bytes are linked in a window of ${size}`);
    return this.#dma.iovaSync(this.#state, 0, this.#mapped);
  }

  segments(): readonly Segment[] {
    return [{ addr: this.#state.addr, length: this.#mapped }];
  }

  /** `dma_iova_destroy()`, also before anything is linked: the window is there from the start. */
  destroy(): void {
    if (this.#mapped > 0) this.#dma.iovaUnlink(this.#state, this.#mapped);
    this.#dma.iovaFree(this.#state);
  }
}

/** Each range by a `dma_map_phys()` of its own, and unmapped as it was mapped, into however many entries it split. */
export class RangePath implements DmaPath {
  readonly #dma: DmaApi;
  readonly #dir: DmaDirection;
  readonly #mapped: Segment[] = [];

  constructor(dma: DmaApi, dir: DmaDirection) {
    this.#dma = dma;
    this.#dir = dir;
  }

  lengths(ranges: readonly PhysVec[]): readonly number[] {
    return lengthsOf(ranges);
  }

  map({ paddr, len }: PhysVec): Errno | undefined {
    const addr = this.#dma.mapPhys(paddr, len, this.#dir);
    if (isErrno(addr)) return addr;
    this.#mapped.push({ addr, length: len });
    return undefined;
  }

  sync(): undefined {}

  segments(): readonly Segment[] {
    return this.#mapped;
  }

  destroy(): void {
    for (const { addr, length } of this.#mapped) this.#dma.unmapPhys(addr, length);
  }
}

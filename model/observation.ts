/**
 * What a world shows of itself from outside, in the words in which the invariants are stated.
 *
 * An observation may be partial, as long as it is whole where it looks: it may leave out areas, and cut those that it
 * gives, but then PTEs are left out and cut alike. An area of a dma-buf that a call meets is given in full.
 */

import type { Prot } from '../trace/command.ts';

type Bytes = bigint;
export type Range = Readonly<{ domain: string; iova: Bytes; length: Bytes }>;
/** [offset, offset + length) of a BAR (`dev0:2`), of user memory or of a memfd (`m0`). */
export type Stretch = Readonly<{ memory: string; offset: Bytes; length: Bytes }>;
/** What a domain translates from `iova` on, as the hardware walks it; neighbours may be one. */
export type Pte = Stretch & Range & Readonly<{ prot: Prot; mmio: boolean; cache: boolean }>;
/**
 * An area in its domains; `offset` is where its first byte must land. One of a dma-buf has a `slice`, the range that
 * the buffer is made of, and is `shot` once its exporter has revoked the buffer. While its IOAS has no large pages, one
 * call maps a `page`.
 */
export type AreaSeen = Stretch &
  Readonly<{ domains: readonly string[]; iova: Bytes; slice?: Stretch | undefined }> &
  Readonly<{ page?: Bytes | undefined; shot: boolean }>;
/**
 * What the CPU reaches through the mapping `map`, of whichever process, from its byte `at` on, without a fault. `shut`:
 * its owner has taken back what the mapping is of.
 */
export type CpuPte = Stretch & Readonly<{ map: string; at: Bytes; shut?: boolean }>;
export type MapCall = Stretch & Range & Readonly<{ mmio: boolean }>;
/** `cleared` is what the domain made of the `length` that it was asked for. */
export type UnmapCall = Range & Readonly<{ cleared: Bytes }>;
/**
 * `revoked`: device memory that its owner has taken back. The calls are those of this step, in order. `keepsMmio` is
 * false before 7.3, where a copy or a second domain may be mapped as CPU memory, and in several calls.
 */
export type Observation = Readonly<{ ptes: readonly Pte[]; areas: readonly AreaSeen[]; revoked: readonly Stretch[] }> &
  Readonly<{ cpu: readonly CpuPte[]; maps: readonly MapCall[]; unmaps: readonly UnmapCall[]; keepsMmio: boolean }>;

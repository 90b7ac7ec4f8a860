/**
 * What a VFIO container promises, said naively: a list of stretches of bytes, and rules in the order in which they
 * refuse. It shares nothing with the implementation but the errnos.
 *
 * Source: iommufd 2.5 to 2.7, 2.11, 2.13, 2.14
 */
import type { Errno, Reach } from '../../trace/answer.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

const P = 0x1000n;
const MAX = (1n << 64n) - 1n;

/** [first, last] shows `memory` from byte `offset` on. Page 0 of what was mapped is at `offset - within`. */
export interface Area {
  readonly first: bigint;
  readonly last: bigint;
  readonly memory: string;
  readonly offset: bigint;
  /** Bytes from the start of the page in which the mapping began; what the alignment speaks of. */
  readonly within: bigint;
  /** Bytes of the memory that there are. */
  readonly end: bigint;
  readonly prot: '' | 'r' | 'w' | 'rw';
  readonly cuttable: boolean;
}

/** An errno, or what a call that succeeded says. */
export interface Said {
  readonly answer: 0 | Errno;
  /** What is written back as the size; undefined where nothing is. */
  readonly size?: bigint;
}

export class Oracle {
  readonly #config: MachineConfig;
  /** Ascending. */
  areas: Area[] = [];
  small = false;
  attached = false;
  /** How often something happened that a run must have met. */
  readonly met = new Map<string, number>();

  constructor(config: MachineConfig) {
    this.#config = config;
  }

  setIommu(type: number): Said {
    if (type !== 1 && type !== 3) return { answer: 'EINVAL' };
    if (type === 3 || this.small) return { answer: 0 };
    if (this.attached && this.areas.length > 0) return { answer: 'EINVAL' };
    if (!this.#allAligned(P)) return { answer: 'EADDRINUSE' };
    this.small = true;
    return { answer: 0 };
  }

  attach(): Said {
    if (this.attached) return { answer: 0 };
    const [granule] = this.#config.pageSizes;
    const reserved = this.areas.some((area) => this.#reserved().some(([a, b]) => area.first <= b && a <= area.last));
    if (reserved || !this.#allAligned(granule as bigint)) return { answer: 'EADDRINUSE' };
    for (const area of this.areas) {
      const refused = refusedByDomain(area);
      if (refused !== undefined) return { answer: refused };
    }
    this.attached = true;
    return { answer: 0 };
  }

  detach(): Said {
    this.attached = false;
    return { answer: 0 };
  }

  /** MAP_DMA of memory at an address of the process. */
  mapDma(area: Area, length: bigint, address: bigint): Said {
    if (address + length > MAX) return { answer: 'EOVERFLOW' };
    return length > MAX - P ? { answer: 'EINVAL' } : this.#map(area, length);
  }

  /** MAP_FILE of a buffer at a fixed IOVA, which is no number that is refused for itself. */
  mapFile(area: Area, length: bigint): Said {
    return length === 0n || area.offset + length > area.end ? { answer: 'EINVAL' } : this.#map(area, length);
  }

  /** What both have in common. */
  #map(area: Area, length: bigint): Said {
    const align = this.#align();
    if (length === 0n || length % align !== 0n || area.first % align !== 0n) return { answer: 'EINVAL' };
    if (area.last > MAX) return { answer: 'EOVERFLOW' };
    const meets = ([a, b]: readonly [bigint, bigint]): boolean => area.first <= b && a <= area.last;
    if (this.attached && this.#reserved().some(meets)) return { answer: 'EINVAL' };
    if (this.areas.some(({ first, last }) => meets([first, last]))) return { answer: 'EEXIST' };
    if (area.within % align !== 0n) return { answer: 'EINVAL' };
    const refused = this.attached ? refusedByDomain(area) : undefined;
    if (refused !== undefined) return { answer: refused };
    this.areas = [...this.areas, area].sort((a, b) => (a.first < b.first ? -1 : 1));
    return { answer: 0 };
  }

  unmapDma(all: boolean, iova: bigint, size: bigint): Said {
    if (all) return iova !== 0n || size !== 0n ? { answer: 'EINVAL' } : this.#remove(0n, MAX);
    if (this.small) {
      for (const at of [(iova + size - 1n) & MAX, ...(iova > 0n ? [iova - 1n] : [])]) {
        const refused = this.#cut(at);
        if (refused !== undefined) return { answer: refused };
      }
    }
    if (size === 0n) return { answer: 'EINVAL', size: 0n };
    return iova + size - 1n > MAX ? { answer: 'EOVERFLOW', size: 0n } : this.#remove(iova, iova + size - 1n);
  }

  /** IOAS_UNMAP, which never cuts; what it removed before it was refused it does not say. */
  unmap(iova: bigint, length: bigint): Said {
    const { answer, size = 0n } = this.#remove(iova, iova + length - 1n);
    if (answer !== 0) return { answer };
    return size === 0n ? { answer: 'ENOENT' } : { answer: 0, size };
  }

  /** What the device reaches, neighbours merged. */
  get reach(): Reach[] {
    const rows: [bigint, string, bigint, bigint, Reach[3]][] = [];
    if (!this.attached) return [];
    let end: { iova: bigint; memory: string; offset: bigint; prot: string } | undefined;
    for (const { first, last, memory, offset, prot } of this.areas) {
      const length = last - first + 1n;
      const before = rows.at(-1);
      if (before && end?.iova === first && end.memory === memory && end.offset === offset && end.prot === prot) {
        before[3] += length;
      } else rows.push([first, `${memory}+0x${offset.toString(16)}`, offset, length, prot]);
      end = { iova: last + 1n, memory, offset: offset + length, prot };
    }
    return rows.map(([iova, target, , length, prot]) => [iova, target, length, prot]);
  }

  #remove(first: bigint, last: bigint): Said {
    let size = 0n;
    for (const area of this.areas.filter((it) => it.first <= last && first <= it.last)) {
      if (area.first < first || last < area.last) {
        this.#count(size > 0n ? 'an unmap was refused half-way' : 'an unmap of a part was refused');
        return { answer: 'ENOENT', size };
      }
      this.areas = this.areas.filter((it) => it !== area);
      size += area.last - area.first + 1n;
    }
    this.#count(size > 0n ? 'something was unmapped' : 'an empty range was unmapped');
    return { answer: 0, size };
  }

  /** Let an area end at `at`. */
  #cut(at: bigint): Errno | undefined {
    const area = this.areas.find(({ first, last }) => first < at && at < last);
    if (area === undefined) return undefined;
    if (!area.cuttable) {
      this.#count('a buffer was not cut');
      return 'EOPNOTSUPP';
    }
    const left = at + 1n - area.first;
    if ((at + 1n) % this.#align() !== 0n || (area.within + left) % this.#align() !== 0n) return 'EINVAL';
    this.#count('an area was cut');
    const halves = [
      { ...area, last: at },
      { ...area, first: at + 1n, offset: area.offset + left, within: area.within + left },
    ];
    this.areas = this.areas.flatMap((it) => (it === area ? halves : [it]));
    return undefined;
  }

  #align(): bigint {
    const [granule] = this.#config.pageSizes;
    return this.small ? P : this.attached ? (granule as bigint) : 1n;
  }

  #allAligned(align: bigint): boolean {
    return this.areas.every(
      ({ first, last, within }) => first % align === 0n && (last - first + 1n) % align === 0n && within % align === 0n,
    );
  }

  #reserved(): (readonly [bigint, bigint])[] {
    const { aperture, reserved } = this.#config;
    return [...reserved, [0n, aperture[0] - 1n] as const, [aperture[1] + 1n, MAX] as const];
  }

  #count(what: string): void {
    this.met.set(what, (this.met.get(what) ?? 0) + 1);
  }
}

/** Memory that is not there, and then a mapping that permits nothing. */
function refusedByDomain({ offset, first, last, end, prot }: Area): Errno | undefined {
  if (offset < 0n || offset + last - first >= end) return 'EFAULT';
  return prot === '' ? 'EINVAL' : undefined;
}

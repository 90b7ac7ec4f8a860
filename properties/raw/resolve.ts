/**
 * From an intent to a raw call that means something on this machine: the numbers in it name what there is, mostly.
 * `spoil` may then make a bad one of it.
 */
import type { Area } from '../../impl/iommufd/area.ts';
import type { IommufdCtx } from '../../impl/iommufd/context.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { add, addWrapping, bytes, fromBigint, type U64, U64_MAX, u64, ZERO } from '../../impl/kernel/units.ts';
import { IOMMU_IOVA_RANGE } from '../../impl/uapi/iommufd-structs.ts';
import { encode } from '../../impl/uapi/layout.ts';
import { FEATURE_DATA_DMA_BUF, REGION_DMA_RANGE } from '../../impl/uapi/vfio-structs.ts';
import { type CallName, callOf, type RawCall } from './calls.ts';
import type { Draw } from './draw.ts';
import { ARRAYS, type RawWorld } from './world.ts';

const PAGE = 0x1000;
/** Where most is mapped: in every aperture, and reserved by nobody. */
const BASE = fromBigint(0x100_0000n);

/** How often each call is meant. */
const MIX: readonly (readonly [CallName, number])[] = [
  ['IOAS_MAP_FILE', 170],
  ['IOAS_COPY', 110],
  ['IOAS_MAP', 90],
  ['IOAS_UNMAP', 110],
  ['IOMMU_MAP_DMA', 70],
  ['IOMMU_UNMAP_DMA', 80],
  ['FEATURE', 55],
  ['ATTACH_PT', 40],
  ['IOAS_IOVA_RANGES', 30],
  ['DESTROY', 30],
  ['HWPT_ALLOC', 25],
  ['VFIO_IOAS', 25],
  ['IOMMU_GET_INFO', 20],
  ['IOAS_ALLOC', 20],
  ['BIND_IOMMUFD', 20],
  ['SET_IOMMU', 18],
  ['RESET', 12],
  ['DETACH_PT', 12],
  ['PCI_HOT_RESET', 10],
  ['CHECK_EXTENSION', 8],
  ['GET_API_VERSION', 4],
  ['IOAS_ALLOW_IOVAS', 8],
  ['OPTION', 4],
  ['IOAS_CHANGE_PROCESS', 10],
];
const WEIGHTED: readonly CallName[] = MIX.flatMap(([name, weight]) => Array<CallName>(weight).fill(name));

const whole = ({ iova, length }: Area): { iova: U64; length: U64 } => ({ iova, length });

export const meantCall = (n: number): CallName => WEIGHTED[n % WEIGHTED.length] as CallName;

export function resolveCall(name: CallName, draw: Draw, world: RawWorld): RawCall {
  return new Resolver(draw, world).call(name);
}

class Resolver {
  readonly #draw: Draw;
  readonly #world: RawWorld;
  readonly #fd: number;
  readonly #ctx: IommufdCtx | undefined;

  constructor(draw: Draw, world: RawWorld) {
    this.#draw = draw;
    this.#world = world;
    const fds = world.of('iommufd');
    const used = fds.filter((fd) => (world.context(fd)?.objects.length ?? 0) > 0);
    this.#fd = draw.pick(draw.oneIn(8) ? fds : used) ?? fds[0] ?? -1;
    this.#ctx = world.context(this.#fd);
  }

  call(name: CallName): RawCall {
    const draw = this.#draw;
    const fd = this.#fd;
    switch (name) {
      case 'IOAS_ALLOC':
        return callOf(name, fd);
      case 'DESTROY':
        return callOf(name, fd, { id: this.#id(draw.pick(['ioas', 'hwpt', 'hwpt', 'device'])) });
      case 'IOAS_IOVA_RANGES':
        return {
          ...callOf(name, fd, { ioas_id: this.#id('ioas'), num_iovas: draw.below(5), allowed_iovas: ARRAYS }),
          array: new Uint8Array(16 * 4),
        };
      case 'IOAS_ALLOW_IOVAS':
        return this.#allow(fd);
      case 'OPTION':
        return draw.oneIn(3)
          ? callOf(name, fd, { option_id: 0, op: draw.below(2), val64: bytes(draw.below(2)) })
          : callOf(name, fd, {
              option_id: 1,
              op: draw.below(2),
              object_id: this.#id('ioas'),
              val64: bytes(draw.below(2)),
            });
      case 'IOAS_CHANGE_PROCESS':
        return callOf(name, fd);
      case 'IOAS_MAP':
        return callOf(name, fd, { ...this.#placing(), ioas_id: this.#id('ioas'), user_va: this.#address() });
      case 'IOAS_MAP_FILE':
        return callOf(name, fd, {
          ...this.#placing(),
          ioas_id: this.#id('ioas'),
          fd: this.#file(),
          start: this.#offset(),
        });
      case 'IOAS_COPY':
        return this.#copy();
      case 'IOAS_UNMAP':
        return this.#unmap();
      case 'HWPT_ALLOC':
        return callOf(name, fd, { dev_id: this.#id('device'), pt_id: this.#id('ioas') });
      case 'VFIO_IOAS':
        return callOf(name, fd, { op: draw.oneIn(6) ? draw.below(4) : 1, ioas_id: this.#id('ioas') });
      case 'GET_API_VERSION':
        return callOf(name, fd);
      case 'CHECK_EXTENSION':
        return { ...callOf(name, fd), value: draw.below(11) };
      case 'SET_IOMMU':
        return { ...callOf(name, fd), value: draw.oneIn(4) ? draw.below(5) : draw.oneIn(2) ? 1 : 3 };
      case 'IOMMU_GET_INFO':
        return this.#info();
      case 'IOMMU_MAP_DMA': {
        const { length, iova } = this.#placing();
        return callOf(name, fd, { flags: draw.oneIn(8) ? 0 : 3, vaddr: this.#address(), iova, size: length });
      }
      case 'IOMMU_UNMAP_DMA':
        return this.#unmapDma();
      default:
        return this.#deviceCall(name);
    }
  }

  #deviceCall(
    name: Extract<CallName, 'BIND_IOMMUFD' | 'ATTACH_PT' | 'DETACH_PT' | 'FEATURE' | 'RESET' | 'PCI_HOT_RESET'>,
  ): RawCall {
    const draw = this.#draw;
    const fd = draw.pick(this.#world.of('device')) ?? -1;
    switch (name) {
      case 'BIND_IOMMUFD':
        return callOf(name, fd, { iommufd: (draw.oneIn(8) ? draw.pick(this.#world.fds) : undefined) ?? this.#fd });
      case 'ATTACH_PT': {
        const ctx = this.#world.deviceFile(fd)?.device.iommufdDevice?.ctx;
        const pts = (ctx?.objects ?? []).filter(({ kind }) => kind !== 'device');
        return callOf(name, fd, { pt_id: draw.pick(pts)?.id ?? 0 });
      }
      case 'FEATURE':
        return this.#feature(fd);
      default:
        return callOf(name, fd);
    }
  }

  /** An object of the context. */
  #id(kind: 'ioas' | 'hwpt' | 'device' | undefined): number {
    return this.#draw.pick((this.#ctx?.objects ?? []).filter((object) => object.kind === kind))?.id ?? 0;
  }

  #area(): { ioas: number; area: Area | undefined } {
    const ioases = (this.#ctx?.objects ?? []).filter((object) => object instanceof Ioas);
    const ioas = this.#draw.pick(ioases.filter(({ iopt }) => iopt.areas.size > 0));
    return { ioas: ioas?.id ?? 0, area: this.#draw.pick(ioas?.iopt.areas.all() ?? []) };
  }

  /** How, where and how much; half of the time the kernel chooses where. */
  #placing(): { flags: number; length: U64; iova: U64 } {
    const draw = this.#draw;
    const prot = draw.oneIn(6) ? 2 << draw.below(2) : 6;
    return { flags: prot | draw.below(2), length: this.#length(), iova: this.#iova() };
  }

  #length(): U64 {
    const draw = this.#draw;
    // Larger than any aperture.
    if (draw.oneIn(60)) return u64(2 ** 45, 0);
    const pages = bytes((1 + draw.below(draw.oneIn(4) ? 16 : 4)) * PAGE);
    return draw.oneIn(10) ? bytes(pages.page * PAGE + draw.below(3) * 0x800) : pages;
  }

  #iova(): U64 {
    const draw = this.#draw;
    const at = add(BASE, bytes(draw.below(96) * PAGE));
    return draw.oneIn(12) ? add(at, bytes(0x800)) : at;
  }

  #address(): U64 {
    const draw = this.#draw;
    const block = draw.pick(this.#world.blocks);
    const within = bytes(draw.below((block?.pages ?? 0) + 1) * PAGE);
    return addWrapping(block?.address ?? ZERO, draw.oneIn(12) ? add(within, bytes(0x800)) : within);
  }

  #file(): number {
    const draw = this.#draw;
    const fds = this.#world.of(draw.oneIn(4) ? 'memfd' : 'buffer');
    return (draw.oneIn(16) ? draw.pick(this.#world.fds) : draw.pick(fds)) ?? -1;
  }

  #offset(): U64 {
    const draw = this.#draw;
    const at = bytes(draw.below(4) * PAGE);
    return draw.oneIn(12) ? add(at, bytes(0x800)) : at;
  }

  /** Nothing, or a range or two around where most is mapped. */
  #allow(fd: number): RawCall {
    const draw = this.#draw;
    const count = draw.below(3);
    const array = new Uint8Array(IOMMU_IOVA_RANGE.size * count);
    for (let i = 0; i < count; i++) {
      const page = BASE.page * (i + 1);
      const range = { start: u64(page + draw.below(64), 0), last: u64(page + 64 + draw.below(512), 0xfff) };
      encode(IOMMU_IOVA_RANGE, range, array.subarray(IOMMU_IOVA_RANGE.size * i));
    }
    const args = { ioas_id: this.#id('ioas'), num_iovas: count, allowed_iovas: ARRAYS };
    return { ...callOf('IOAS_ALLOW_IOVAS', fd, args), array };
  }

  /** Some or all of an area. */
  #copy(): RawCall {
    const { ioas, area } = this.#area();
    const { flags, iova: dst_iova } = this.#placing();
    const { iova: src_iova, length } = this.#part(area);
    const ids = { dst_ioas_id: this.#id('ioas'), src_ioas_id: ioas };
    return callOf('IOAS_COPY', this.#fd, { flags, ...ids, length, dst_iova, src_iova });
  }

  /** An area, or a part of it; now and then as much that there is no such part. */
  #part(area: Area | undefined): { iova: U64; length: U64 } {
    const draw = this.#draw;
    if (area === undefined) return { iova: this.#iova(), length: this.#length() };
    if (draw.oneIn(2)) return whole(area);
    const pages = area.length.page;
    const from = bytes(draw.below(pages + 1) * PAGE);
    const length = draw.oneIn(4) ? this.#length() : bytes((1 + draw.below(Math.max(1, pages - from.page))) * PAGE);
    return { iova: addWrapping(area.iova, draw.oneIn(12) ? add(from, bytes(0x800)) : from), length };
  }

  /** A range with areas in it; now and then everything. */
  #unmap(): RawCall {
    const { ioas, area } = this.#area();
    const range = this.#draw.oneIn(40) ? { iova: ZERO, length: U64_MAX } : this.#range(area);
    return callOf('IOAS_UNMAP', this.#fd, { ioas_id: ioas, ...range });
  }

  #unmapDma(): RawCall {
    const draw = this.#draw;
    if (draw.oneIn(20)) return callOf('IOMMU_UNMAP_DMA', this.#fd, { flags: 2 });
    const ioas = this.#ctx?.vfioIoas;
    const area = ioas instanceof Ioas ? draw.pick(ioas.iopt.areas.all()) : undefined;
    const { iova, length } = draw.oneIn(3) ? this.#part(area) : this.#range(area);
    return callOf('IOMMU_UNMAP_DMA', this.#fd, { iova, size: length });
  }

  /** An area, or one in five times more than that. */
  #range(area: Area | undefined): { iova: U64; length: U64 } {
    if (area === undefined || this.#draw.oneIn(5)) {
      return { iova: area?.iova ?? this.#iova(), length: this.#length() };
    }
    return whole(area);
  }

  #info(): RawCall {
    const argsz = 16 + this.#draw.below(120);
    const call = callOf('IOMMU_GET_INFO', this.#fd, { argsz });
    const room = new Uint8Array(Math.max(argsz, call.bytes.length));
    room.set(call.bytes);
    return { ...call, bytes: room };
  }

  /** Mostly an export of some pages of a BAR; one in ten of two ranges. */
  #feature(fd: number): RawCall {
    const draw = this.#draw;
    if (draw.oneIn(5)) return callOf('FEATURE', fd, { flags: (draw.oneIn(2) ? 3 : 5) | (1 << (16 + draw.below(3))) });
    const device = this.#world.deviceFile(fd)?.device;
    const region = draw.pick([...(device?.bars.keys() ?? [])].filter((bar) => bar !== 0)) ?? 0;
    const count = draw.oneIn(10) ? 2 : 1;
    const header = callOf('FEATURE', fd, { argsz: 24 + 16 * count, flags: 11 | (1 << 16) });
    const whole = new Uint8Array(24 + 16 * count);
    whole.set(header.bytes);
    // More ranges than are there, or than the kernel would copy.
    const said = draw.oneIn(40) ? 2 ** (1 + draw.below(31)) : count;
    encode(FEATURE_DATA_DMA_BUF, { region_index: region, nr_ranges: said }, whole.subarray(8));
    for (let i = 0; i < count; i++) {
      const range = { offset: bytes(draw.below(4) * PAGE), length: bytes((1 + draw.below(8)) * PAGE) };
      encode(REGION_DMA_RANGE, range, whole.subarray(24 + 16 * i));
    }
    return { ...header, bytes: whole };
  }
}

/**
 * A machine whose commands are made as raw system calls: structures in memory, numbers for objects and descriptors, and
 * the answer read back. What has no ioctl is done as ever.
 */
import { O_RDWR } from '../../impl/dmabuf/dma-buf.ts';
import { fdOf, objectOf } from '../../impl/handles.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { addWrapping, bytes, fromBigint, toBigint } from '../../impl/kernel/units.ts';
import { Machine, type NamedFd } from '../../impl/machine.ts';
import * as iommufd from '../../impl/uapi/iommufd-structs.ts';
import { decode, encode, type Fields, type Layout, type Values } from '../../impl/uapi/layout.ts';
import { SystemCalls } from '../../impl/uapi/system-calls.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command, Handle, Prot } from '../../trace/command.ts';

const n = fromBigint;
const STRUCT = n(0x7fff_ffff_f000n);
const ARRAY = n(0x6000_0000n);
/** Room for more ranges than any IOAS has. */
const RANGES = 64;
/** A descriptor that nobody has. */
const CLOSED = 1000;

/** A call by its bytes: the answer, and the structure afterwards. */
type Call = <F extends Fields>(
  fd: number,
  number: number,
  layout: Layout<F>,
  values: Partial<Values<F>>,
  more?: Uint8Array,
) => { readonly answer: number | Errno; readonly out: Values<F>; readonly array: Uint8Array };

class NamingCalls extends SystemCalls {
  next = '';

  override nameFor(): string {
    return this.next;
  }
}

export class RawMachine extends Machine {
  readonly #process = new NamingCalls(this);

  override execute(command: Command): Result {
    switch (command.do) {
      case 'ioas_alloc': {
        const fd = fdOf(this, command.ctx, 'iommufd');
        const { answer, out } = this.#named(command.as)(fd, 0x3b81, iommufd.IOMMU_IOAS_ALLOC, {});
        return this.#keep(answer, command.as, this.names.get(command.ctx) as NamedFd, out.out_ioas_id);
      }
      case 'hwpt_alloc': {
        const { fd, id, ctx } = this.#object(command.ioas);
        const device = this.dmaDevice(command.dev)?.iommufdDevice;
        const dev_id = device !== undefined && device.ctx === this.#context(command.ioas) ? device.id : 0;
        const values = { dev_id, pt_id: id, flags: rawFlags(command.flags) };
        const { answer, out } = this.#named(command.as)(fd, 0x3b89, iommufd.IOMMU_HWPT_ALLOC, values);
        return this.#keep(answer, command.as, ctx, out.out_hwpt_id);
      }
      case 'destroy': {
        const { fd, id } = this.#object(command.obj);
        return done(this.#call(fd, 0x3b80, iommufd.IOMMU_DESTROY, { id }).answer);
      }
      case 'ioas_iova_ranges':
        return this.#ranges(command.ioas);
      case 'ioas_map': {
        const { fd, id } = this.#object(command.ioas);
        const mem = this.names.get(command.mem);
        if (mem?.kind !== 'mem') return { err: 'EBADF' };
        const user_va = addWrapping(mem.address, n(command.offset));
        const values = { ...placing(command, command.iova), ioas_id: id, user_va, length: n(command.length) };
        const { answer, out } = this.#call(fd, 0x3b85, iommufd.IOMMU_IOAS_MAP, values);
        return isErrno(answer) ? { err: answer } : { ok: { iova: toBigint(out.iova) } };
      }
      case 'ioas_map_file': {
        const { fd, id } = this.#object(command.ioas);
        const range = { start: n(command.start), length: n(command.length) };
        const file = fdOf(this, command.fd, 'file');
        const values = { ...placing(command, command.iova), ...range, ioas_id: id, fd: file };
        const { answer, out } = this.#call(fd, 0x3b8f, iommufd.IOMMU_IOAS_MAP_FILE, values);
        return isErrno(answer) ? { err: answer } : { ok: { iova: toBigint(out.iova) } };
      }
      case 'ioas_copy': {
        const { fd, id } = this.#object(command.dst);
        if (isErrno(objectOf(this, command.dst)) || isErrno(objectOf(this, command.src))) return { err: 'EBADF' };
        const src = this.#context(command.src) === this.#context(command.dst) ? this.#object(command.src).id : 0;
        const { flags, iova: dst_iova } = placing(command, command.dst_iova);
        const ids = { dst_ioas_id: id, src_ioas_id: src };
        const values = { flags, dst_iova, ...ids, src_iova: n(command.src_iova), length: n(command.length) };
        const { answer, out } = this.#call(fd, 0x3b83, iommufd.IOMMU_IOAS_COPY, values);
        return isErrno(answer) ? { err: answer } : { ok: { iova: toBigint(out.dst_iova) } };
      }
      case 'ioas_unmap': {
        const { fd, id } = this.#object(command.ioas);
        const values = { ioas_id: id, iova: n(command.iova), length: n(command.length) };
        const { answer, out } = this.#call(fd, 0x3b86, iommufd.IOMMU_IOAS_UNMAP, values);
        return isErrno(answer) ? { err: answer } : { ok: { length: toBigint(out.length) } };
      }
      default:
        return this.#onDevice(command);
    }
  }

  #onDevice(command: Command): Result {
    const fd = 'dev' in command ? fdOf(this, command.dev, 'device') : -1;
    switch (command.do) {
      case 'vfio_bind': {
        const ctx = fdOf(this, command.ctx, 'iommufd');
        const values = { iommufd: ctx < 0 ? CLOSED : ctx };
        return done(this.#call(fd, vfio.VFIO_DEVICE_BIND_IOMMUFD, vfio.BIND_IOMMUFD, values).answer);
      }
      case 'vfio_attach': {
        if (fd >= 0 && this.names.get(command.pt)?.kind !== 'object') return { err: 'EBADF' };
        const pt_id = this.#numberFor(command.dev, command.pt);
        return done(this.#call(fd, vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio.ATTACH_IOMMUFD_PT, { pt_id }).answer);
      }
      case 'vfio_detach':
        return done(this.#call(fd, vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio.DETACH_IOMMUFD_PT, {}).answer);
      case 'vfio_reset':
        return done(this.#process.ioctl(fd, vfio.VFIO_DEVICE_RESET, bytes(0)));
      case 'vfio_hot_reset':
        return done(this.#call(fd, vfio.VFIO_DEVICE_PCI_HOT_RESET, vfio.PCI_HOT_RESET, {}).answer);
      case 'vfio_export': {
        const { region, ranges, flags } = command;
        const data = new Uint8Array(16 + 16 * ranges.length);
        const nr_ranges = ranges.length;
        const fixed = { region_index: region, open_flags: O_RDWR, nr_ranges, flags: rawFlags(flags) };
        encode(vfio.FEATURE_DATA_DMA_BUF, fixed, data);
        for (const [i, [offset, length]] of ranges.entries()) {
          encode(vfio.REGION_DMA_RANGE, { offset: n(offset), length: n(length) }, data.subarray(16 + 16 * i));
        }
        const values = { argsz: 8 + data.length, flags: vfio.FEATURE_GET | vfio.FEATURE_DMA_BUF };
        const { answer } = this.#call(fd, vfio.VFIO_DEVICE_FEATURE, vfio.DEVICE_FEATURE, values, data);
        if (!isErrno(answer)) this.names.set(command.as, { kind: 'file', fd: answer });
        return done(answer);
      }
      case 'vfio_low_power_exit':
        return this.#set(fd, vfio.FEATURE_LOW_POWER_EXIT);
      case 'vfio_dmabuf_revoke': {
        const data = new Uint8Array(4);
        encode(vfio.FEATURE_DATA_DMA_BUF_REVOKE, { dmabuf_fd: fdOf(this, command.fd, 'file') }, data);
        return this.#set(fd, vfio.FEATURE_DMA_BUF_REVOKE, data);
      }
      case 'vfio_dmabuf_memattr': {
        const data = new Uint8Array(8);
        const values = { dmabuf_fd: fdOf(this, command.fd, 'file'), memattr: command.attr };
        encode(vfio.FEATURE_DATA_DMA_BUF_MEMATTR, values, data);
        return this.#set(fd, vfio.FEATURE_DMA_BUF_MEMATTR, data);
      }
      default:
        return super.execute(command);
    }
  }

  #set(fd: number, feature: number, data = new Uint8Array()): Result {
    const values = { argsz: 8 + data.length, flags: vfio.FEATURE_SET | feature };
    return done(this.#call(fd, vfio.VFIO_DEVICE_FEATURE, vfio.DEVICE_FEATURE, values, data).answer);
  }

  #ranges(handle: Handle): Result {
    const { fd, id } = this.#object(handle);
    const values = { ioas_id: id, num_iovas: RANGES, allowed_iovas: ARRAY };
    const { answer, out, array } = this.#call(fd, 0x3b84, iommufd.IOMMU_IOAS_IOVA_RANGES, values);
    if (isErrno(answer)) return { err: answer };
    const ranges = Array.from({ length: out.num_iovas }, (_, i) => {
      const { start, last } = decode(iommufd.IOMMU_IOVA_RANGE, array.subarray(16 * i));
      return [toBigint(start), toBigint(last)] as const;
    });
    return { ok: { ranges, alignment: toBigint(out.out_iova_alignment) } };
  }

  readonly #call: Call = (fd, number, layout, values, more = new Uint8Array()) => {
    const content = new Uint8Array(layout.size + more.length);
    new DataView(content.buffer).setUint32(0, content.length, true);
    encode(layout, values, content);
    content.set(more, layout.size);
    const array = new Uint8Array(16 * RANGES);
    const { memory } = this.#process;
    memory.clear();
    memory.map(STRUCT, content);
    memory.map(ARRAY, array);
    return { answer: this.#process.ioctl(fd, number, STRUCT), out: decode(layout, content), array };
  };

  /** What the call makes is called `as`. */
  #named(as: Handle): Call {
    this.#process.next = as;
    return this.#call;
  }

  /** The object with this number stands behind the handle from now on. */
  #keep(answer: number | Errno, as: Handle, ctx: NamedFd, id: number): Result {
    if (isErrno(answer)) return { err: answer };
    const file = this.fds.lookup(ctx.fd);
    const object = [...this.contexts].find((it) => it.file === file)?.table[id];
    if (object !== undefined) this.names.set(as, { kind: 'object', ctx, object });
    return { ok: {} };
  }

  /** The descriptor and the number by which an object is called; a descriptor of nobody where there is none. */
  #object(handle: Handle): { fd: number; id: number; ctx: NamedFd } {
    const named = this.names.get(handle);
    const found = objectOf(this, handle);
    if (named?.kind !== 'object' || isErrno(found)) return { fd: -1, id: 0, ctx: { kind: 'iommufd', fd: -1 } };
    return { fd: named.ctx.fd, id: found.id, ctx: named.ctx };
  }

  #context(handle: Handle): unknown {
    const found = objectOf(this, handle);
    return isErrno(found) ? undefined : found.ctx;
  }

  /** The number of an object in the context to which the device is bound. */
  #numberFor(dev: Handle, handle: Handle): number {
    const ctx = this.devices.get(dev)?.iommufdDevice?.ctx;
    const named = this.names.get(handle);
    return named?.kind === 'object' && ctx?.has(named.object) ? named.object.id : 0;
  }
}

const done = (answer: number | Errno): Result => (isErrno(answer) ? { err: answer } : { ok: {} });

/** Bits that a field does not hold are as unknown as the highest that it does. */
const rawFlags = (flags = 0n): number => (flags >> 32n === 0n ? Number(flags) : 2 ** 31);

function placing(
  { prot, flags = 0n }: { readonly prot: Prot; readonly flags?: bigint },
  iova: bigint | undefined,
): { flags: number; iova: ReturnType<typeof n> } {
  const said = (iova === undefined ? 0 : 1) + (prot.includes('w') ? 2 : 0) + (prot.includes('r') ? 4 : 0);
  return { flags: said + rawFlags(flags & ~7n), iova: n(iova ?? 0n) };
}

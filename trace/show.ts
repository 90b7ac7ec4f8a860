/** Commands and answers in the short notation that people are shown. Nothing parses it. */
import type { Reach, Result } from './answer.ts';
import type { Command, Interval, Prot } from './command.ts';
import type { TracedCall } from './trace.ts';

export const showHex = (n: bigint): string => `0x${n.toString(16)}`;
export const showInterval = ([first, last]: Interval): string => `[${showHex(first)}, ${showHex(last)}]`;

const PROTS: { readonly [P in Prot]: string } = { rw: '', r: ' read-only', w: ' write-only', '': ' no access' };
const ALL = 2n ** 64n - 1n;

/** `b0+0x800 length 0x1000` */
const part = (of: string, offset: bigint, length: bigint): string =>
  `${of}+${showHex(offset)} length ${showHex(length)}`;
const at = (iova: bigint | undefined): string => (iova === undefined ? 'anywhere' : `at ${showHex(iova)}`);
const bits = (flags: bigint | undefined): string => (flags === undefined ? '' : ` flags ${showHex(flags)}`);
const by = (process: string | undefined): string => (process === undefined ? '' : ` by ${process}`);
/** How a mapping by the CPU treats the memory of a buffer. */
const ATTRIBUTES: readonly string[] = ['uncached', 'write-combining'];
const listed = (parts: readonly string[]): string => (parts.length === 0 ? 'nothing' : parts.join(', '));

/** How each command reads; the table is complete, or it does not compile. */
const PHRASES: { readonly [C in Command as C['do']]: (command: C) => string } = {
  iommufd_open: ({ as }) => `open iommufd ${as}`,
  iommufd_close: ({ ctx }) => `close iommufd ${ctx}`,
  vfio_open: ({ dev }) => `open ${dev}`,
  vfio_bind: ({ dev, ctx }) => `bind ${dev} to ${ctx}`,
  vfio_attach: ({ dev, pt }) => `attach ${dev} to ${pt}`,
  vfio_detach: ({ dev }) => `detach ${dev}`,
  vfio_close: ({ dev }) => `close ${dev}`,
  vfio_export: ({ dev, region, ranges, as, flags }) => {
    const slices = ranges.length === 0 ? ' nothing' : ranges.map(([from, length]) => part('', from, length)).join(', ');
    return `export ${dev}:${region}${slices} as ${as}${bits(flags)}`;
  },
  vfio_memory: ({ dev, enable }) => `turn memory of ${dev} ${enable ? 'on' : 'off'}`,
  vfio_reset: ({ dev }) => `reset ${dev}`,
  vfio_flr: ({ dev }) => `FLR ${dev}`,
  vfio_hot_reset: ({ dev }) => `hot reset ${dev}`,
  vfio_power: ({ dev, state }) => `power ${dev} to D${state}`,
  vfio_low_power_entry: ({ dev, wakeup }) => `enter low power of ${dev}${wakeup ? ' with wakeup' : ''}`,
  vfio_low_power_exit: ({ dev }) => `exit low power of ${dev}`,
  vfio_wake: ({ dev }) => `wake ${dev}`,
  vfio_dmabuf_revoke: ({ dev, fd }) => `revoke ${fd} of ${dev} for good`,
  vfio_dmabuf_memattr: ({ dev, fd, attr }) => `map ${fd} of ${dev} ${ATTRIBUTES[attr] ?? `attribute ${attr}`}`,
  ioas_alloc: ({ ctx, as }) => `alloc IOAS ${as} in ${ctx}`,
  hwpt_alloc: ({ dev, ioas, as, flags }) => `alloc HWPT ${as} of ${ioas} for ${dev}${bits(flags)}`,
  destroy: ({ obj }) => `destroy ${obj}`,
  ioas_iova_ranges: ({ ioas }) => `IOVA ranges of ${ioas}`,
  ioas_allow_iovas: ({ ioas, ranges }) => `allow ${listed(ranges.map(showInterval))} in ${ioas}`,
  ioas_map: (c) => `map ${part(c.mem, c.offset, c.length)} ${at(c.iova)} in ${c.ioas}${PROTS[c.prot]}${bits(c.flags)}`,
  ioas_map_file: (c) =>
    `map ${part(c.fd, c.start, c.length)} ${at(c.iova)} in ${c.ioas}${PROTS[c.prot]}${bits(c.flags)}`,
  ioas_copy: (c) =>
    `copy ${part(c.src, c.src_iova, c.length)} ${at(c.dst_iova)} in ${c.dst}${PROTS[c.prot]}${bits(c.flags)}`,
  ioas_unmap: ({ ioas, iova, length }) =>
    iova === 0n && length === ALL
      ? `unmap everything in ${ioas}`
      : `unmap ${showHex(iova)} length ${showHex(length)} in ${ioas}`,
  ioas_option_huge_pages: ({ ioas, enable }) => `turn huge pages of ${ioas} ${enable ? 'on' : 'off'}`,
  mem_alloc: ({ as, length }) => `alloc memory ${as} length ${showHex(length)}`,
  memfd_create: ({ as, length }) => `create memfd ${as} length ${showHex(length)}`,
  fd_dup: ({ fd, as }) => `dup ${fd} as ${as}`,
  fd_close: ({ fd }) => `close ${fd}`,
  dma_read: ({ dev, iova }) => `DMA read ${showHex(iova)} by ${dev}`,
  bar_mmap: ({ dev, region, offset, length, as }) => `mmap ${part(`${dev}:${region}`, offset, length)} as ${as}`,
  fd_mmap: ({ fd, offset, length, as }) => `mmap ${part(fd, offset, length)} as ${as}`,
  peek: ({ map, offset, process }) => `peek ${map}+${showHex(offset)}${by(process)}`,
  munmap: ({ map, offset, length, process }) => {
    const from = offset === undefined ? '' : `+${showHex(offset)}`;
    return `munmap ${map}${from}${length === undefined ? '' : ` length ${showHex(length)}`}${by(process)}`;
  },
  fork: ({ as }) => `fork ${as}`,
  exit: ({ process }) => `exit ${process}`,
  mock_domain: ({ ioas, as, dev }) => `attach new mock device ${dev} to ${ioas} as ${as}`,
  mock_domain_destroy: ({ dev }) => `remove mock device ${dev}`,
  mock_dmabuf: ({ length, as }) => `create test dma-buf ${as} length ${showHex(length)}`,
  mock_revoke: ({ fd, revoked }) => `${revoked ? 'revoke' : 'restore'} ${fd}`,
};

/** One command, such as `map b0+0x800 length 0x1000 at 0x100000 in a`. */
export const showCommand = <C extends Command>(command: C): string =>
  (PHRASES[command.do] as (command: C) => string)(command);

/** What a command answered: `EINVAL`, `ok at 0x100000`. */
export function showResult(result: Result): string {
  if ('err' in result) return result.err;
  const { iova, length, ranges, alignment, target, fault, value, signal } = result.ok;
  const parts = [
    iova !== undefined && at(iova),
    length !== undefined && `${showHex(length)} bytes`,
    ranges && listed(ranges.map(showInterval)),
    alignment !== undefined && `aligned to ${showHex(alignment)}`,
    target,
    fault && 'fault',
    value,
    signal,
  ].filter((phrase) => typeof phrase === 'string');
  return ['ok', ...parts].join(' ');
}

/** One call to the IOMMU driver: `map 0x100000 → dev0:2+0x0 length 0x1000`. */
export function showCall({ call, memory, domain }: TracedCall): string {
  const marks = `${memory === undefined ? '' : ` ${memory}`}${domain === undefined ? '' : ` of ${domain}`}`;
  return call[0] === 'map'
    ? `map ${showHex(call[1])} → ${call[2]} length ${showHex(call[3])}${marks}`
    : `unmap ${showHex(call[1])} length ${showHex(call[2])}${marks}`;
}

/** One stretch of what a device reaches: `0x100000 → dev0:2+0x0 length 0x1000`. */
export const showReach = ([iova, target, length, prot]: Reach): string =>
  `${showHex(iova)} → ${target} length ${showHex(length)}${PROTS[prot]}`;

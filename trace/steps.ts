/**
 * The steps of the format as one table: for each `do`, what it means, its arguments, and what it returns. The types
 * hold the table to `command.ts`: a command, an argument or an answer that is missing here does not compile.
 */
import * as z from 'zod';
import type { Answer } from './answer.ts';
import type { Command } from './command.ts';
import { count, handle, hex, interval, is, list, object, prot, slice, target } from './values.ts';

export type Do = Command['do'];

/** One row: `args` has every argument of the command, optional ones as `exactOptional`. */
interface Row<C extends Command> {
  readonly about: string;
  readonly args: { readonly [K in Exclude<keyof C, 'do'>]-?: z.ZodType<C[K]> };
  readonly ok: z.ZodType<Answer>;
  /** What version 1 does not have: the whole step, or these arguments. */
  readonly added?: 'step' | readonly Exclude<keyof C, 'do'>[];
}
type Table = { readonly [C in Command as C['do']]: Row<C> };

const nothing = object({}).meta({ id: 'nothing', description: 'The call returned nothing besides success.' });
const mapped = object({ iova: hex }).meta({ id: 'mapped', description: 'Where it was mapped.' });
const usable = object({ ranges: list(interval), alignment: hex });
const flag = z.boolean(is('is not true or false'));
const yes = z.literal(true, is('is not true'));
const sigbus = z.literal('SIGBUS', is('is not "SIGBUS"'));
const power = z.literal([0, 3], is('is not 0 or 3'));

const dmaAnswer = object({ target: target.exactOptional(), fault: yes.exactOptional() }).refine(
  (ok) => (ok.target === undefined) !== (ok.fault === undefined),
  { error: 'needs either target or fault' },
);
const peekAnswer = object({ value: target.exactOptional(), signal: sigbus.exactOptional() }).refine(
  (ok) => (ok.value === undefined) !== (ok.signal === undefined),
  { error: 'needs either value or signal' },
);

const fixed = hex.exactOptional();
const flags = hex.exactOptional();
const child = handle.exactOptional();

export const STEPS = {
  iommufd_open: { about: 'Open /dev/iommu.', args: { as: handle }, ok: nothing },
  iommufd_close: {
    about: 'Close an iommufd, and with it every IOAS and HWPT in it.',
    args: { ctx: handle },
    ok: nothing,
  },
  vfio_open: { about: 'Open the device.', args: { dev: handle }, ok: nothing },
  vfio_bind: { about: 'Bind the device to an iommufd.', args: { dev: handle, ctx: handle }, ok: nothing },
  vfio_attach: { about: 'Attach the device to an IOAS or HWPT.', args: { dev: handle, pt: handle }, ok: nothing },
  vfio_detach: { about: 'Detach the device from what it is attached to.', args: { dev: handle }, ok: nothing },
  vfio_close: { about: 'Close the device; a live bar_mmap keeps it open.', args: { dev: handle }, ok: nothing },
  vfio_export: {
    about: 'Export slices of a BAR as a dma-buf.',
    args: { dev: handle, region: count, ranges: list(slice), flags, as: handle },
    ok: nothing,
  },
  vfio_memory: { about: 'Set the PCI_COMMAND memory bit.', args: { dev: handle, enable: flag }, ok: nothing },
  vfio_reset: { about: 'VFIO_DEVICE_RESET.', args: { dev: handle }, ok: nothing },
  vfio_flr: { about: 'Initiate FLR, by a config write.', args: { dev: handle }, ok: nothing },
  vfio_hot_reset: { about: 'VFIO_DEVICE_PCI_HOT_RESET of the whole bus.', args: { dev: handle }, ok: nothing },
  vfio_power: {
    about: 'Enter power state D0 or D3, by a config write.',
    args: { dev: handle, state: power },
    ok: nothing,
  },
  vfio_low_power_entry: {
    about: 'VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, or with a wakeup LOW_POWER_ENTRY_WITH_WAKEUP.',
    args: { dev: handle, wakeup: flag.exactOptional() },
    ok: nothing,
    added: 'step',
  },
  vfio_low_power_exit: {
    about: 'VFIO_DEVICE_FEATURE_LOW_POWER_EXIT.',
    args: { dev: handle },
    ok: nothing,
    added: 'step',
  },
  vfio_wake: {
    about: 'The device wakes up by itself: a PME resumes it.',
    args: { dev: handle },
    ok: nothing,
    added: 'step',
  },
  vfio_dmabuf_revoke: {
    about: 'VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE: for good.',
    args: { dev: handle, fd: handle },
    ok: nothing,
    added: 'step',
  },
  vfio_dmabuf_memattr: {
    about: 'VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR: how later mappings of the buffer treat the memory.',
    args: { dev: handle, fd: handle, attr: count },
    ok: nothing,
    added: 'step',
  },
  ioas_alloc: { about: 'IOMMU_IOAS_ALLOC.', args: { ctx: handle, as: handle }, ok: nothing },
  hwpt_alloc: {
    about: 'IOMMU_HWPT_ALLOC: a domain of its own for an IOAS.',
    args: { dev: handle, ioas: handle, as: handle, flags },
    ok: nothing,
  },
  destroy: { about: 'IOMMU_DESTROY an IOAS or HWPT.', args: { obj: handle }, ok: nothing },
  ioas_iova_ranges: { about: 'IOMMU_IOAS_IOVA_RANGES: what may be mapped.', args: { ioas: handle }, ok: usable },
  ioas_allow_iovas: {
    about: 'IOMMU_IOAS_ALLOW_IOVAS: where the kernel may choose.',
    args: { ioas: handle, ranges: list(interval) },
    ok: nothing,
  },
  ioas_map: {
    about: "IOMMU_IOAS_MAP user memory, or a mapped BAR, at a fixed IOVA or one of the kernel's choice.",
    args: { ioas: handle, mem: handle, offset: hex, length: hex, prot, iova: fixed, flags },
    ok: mapped,
  },
  ioas_map_file: {
    about: "IOMMU_IOAS_MAP_FILE: a memfd or dma-buf, at a fixed IOVA or one of the kernel's choice.",
    args: { ioas: handle, fd: handle, start: hex, length: hex, prot, iova: fixed, flags },
    ok: mapped,
  },
  ioas_copy: {
    about: 'IOMMU_IOAS_COPY what another IOAS, or this one, maps.',
    args: { dst: handle, src: handle, src_iova: hex, length: hex, prot, dst_iova: fixed, flags },
    ok: mapped,
  },
  ioas_unmap: {
    about: 'IOMMU_IOAS_UNMAP; answers with the bytes removed.',
    args: { ioas: handle, iova: hex, length: hex },
    ok: object({ length: hex }),
  },
  ioas_option_huge_pages: {
    about: 'IOMMU_OPTION_HUGE_PAGES of an IOAS.',
    args: { ioas: handle, enable: flag },
    ok: nothing,
  },
  mem_alloc: { about: 'Anonymous private memory.', args: { as: handle, length: hex }, ok: nothing },
  memfd_create: { about: 'A memfd.', args: { as: handle, length: hex }, ok: nothing },
  fd_dup: { about: 'Duplicate a descriptor.', args: { fd: handle, as: handle }, ok: nothing },
  fd_close: { about: 'Close a descriptor.', args: { fd: handle }, ok: nothing },
  dma_read: { about: 'The device reads 4 bytes by DMA.', args: { dev: handle, iova: hex }, ok: dmaAnswer },
  bar_mmap: {
    about: 'Map a BAR for the CPU.',
    args: { dev: handle, region: count, offset: hex, length: hex, as: handle },
    ok: nothing,
  },
  fd_mmap: {
    about: 'Map a descriptor for the CPU.',
    args: { fd: handle, offset: hex, length: hex, as: handle },
    ok: nothing,
  },
  peek: {
    about: 'The CPU reads 4 bytes through a mapping, for the first process or a child.',
    args: { map: handle, offset: hex, process: child },
    ok: peekAnswer,
    added: ['process'],
  },
  munmap: {
    about: 'Undo a bar_mmap or fd_mmap in the first process or a child, or some pages of it.',
    args: { map: handle, offset: hex.exactOptional(), length: hex.exactOptional(), process: child },
    ok: nothing,
    added: ['offset', 'length', 'process'],
  },
  fork: {
    about: 'A child with a copy of every mapping of the first process, and none of its descriptors.',
    args: { as: handle },
    ok: nothing,
    added: 'step',
  },
  exit: { about: 'A child ends, and with it all that it maps.', args: { process: handle }, ok: nothing, added: 'step' },
  mock_domain: {
    about: 'A new mock device, attached to an IOAS or HWPT; gives the device and its HWPT.',
    args: { ioas: handle, as: handle, dev: handle },
    ok: nothing,
  },
  mock_domain_destroy: { about: 'Remove a mock device.', args: { dev: handle }, ok: nothing },
  mock_dmabuf: { about: "A dma-buf of the kernel's test exporter.", args: { length: hex, as: handle }, ok: nothing },
  mock_revoke: { about: 'Revoke or restore a test dma-buf.', args: { fd: handle, revoked: flag }, ok: nothing },
} as const satisfies Table;

/** Is this the name of a step? */
export const isDo = (name: unknown): name is Do => typeof name === 'string' && Object.hasOwn(STEPS, name);

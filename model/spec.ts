/**
 * The executable specification: what iommufd and the vfio-pci exporter of dma-bufs promise, as one pure function.
 * `step` says what a command answers and leads to, `reach` what a device can touch then. The rules are in chapters:
 * spaces (contexts and their IOASes), areas (map, copy, unmap), domains (attach, detach), devices (power, resets),
 * buffers (export, revoke), memory (files, and what processes map), mock (the kernel's test devices and buffers);
 * `iova.ts` is where things go.
 *
 * State is plain readonly data. Quantities are exact `bigint` bytes; areas are half-open, an `Interval` is inclusive.
 * What a step leaves alone stays the same object, so that `===` finds what it changed.
 *
 * What is not modelled, and why nothing is lost:
 * - Page tables and batches: a domain translates exactly the live areas of its IOAS, and that is all that shows.
 * - The page tables of the CPU: what it maps faults while the device does not answer, or the buffer is lost, and then
 *   only.
 * - Locks and waiting: a command is one step. An interleaving is right when some order of its commands fits.
 * - Pins, trackers, attachments, references: an area knows its source, and whether it is live.
 * - The revoked flag of each buffer: that of the device, and what was exported since all were taken back.
 * - The choice of an automatic IOVA: the kernel answers first, and is judged by what it promises.
 * - The addresses of BARs and of user memory: any that a real machine could have give the same answers.
 * - How a CPU mapping treats the memory, uncached or write-combining: no command can see it.
 * - Failing allocations, memory limits, accesses by kernel drivers, dirty bits, VFIO type 1, PASIDs, nesting: no
 *   command asks for them.
 */

import { match } from 'ts-pattern';
import type { Answer, Errno } from '../trace/answer.ts';
import type { Command, Handle, Interval, Prot, Slice } from '../trace/command.ts';
import type { DeviceConfig, MachineConfig } from '../trace/machine-config.ts';
import { copy, map, unmap } from './areas.ts';
import * as buffers from './buffers.ts';
import * as devices from './devices.ts';
import * as domains from './domains.ts';
import { gaps, MAX } from './iova.ts';
import * as memory from './memory.ts';
import * as mock from './mock.ts';
import { deviceNamed, home, LOOSE, sourceNamed, targetOf, unbound } from './names.ts';
import * as spaces from './spaces.ts';

export type Bytes = bigint;
export type Iova = Bytes;
export type Do<Name extends Command['do']> = Extract<Command, { do: Name }>;

/** Identities: such an object never changes, and is the same thing under whatever name. */
export type Context = Readonly<{ is: 'context'; name: Handle }>;
export type Space = Readonly<{ is: 'ioas'; name: Handle; context: Context }>;
export type Opening = Readonly<{ is: 'opening'; device: Handle }>;
/**
 * An automatic one has the name of its IOAS, comes with the first device in it, and goes with the last. A `dirty` one
 * tracks dirty pages, which takes devices that can.
 */
export type Domain = Readonly<{ is: 'domain'; name: Handle; context: Context; space: Space }> &
  Readonly<{ automatic: boolean; dirty: boolean }>;

/**
 * What can be mapped: `length` bytes of a BAR (`dev0:2`) from `base` on, or of memory or a memfd (`m0`) from 0 on.
 * A dma-buf is made of `ranges` of a BAR, and has an `owner` that it does not outlive; one of the test exporter has
 * neither. A mapping is for the CPU: `of` a buffer, or of a BAR, and then it keeps its owner open.
 */
export type Source = Readonly<{ is: 'dmabuf' | 'memfd' | 'memory' | 'mapping'; memory: string }> &
  Readonly<{ base: Bytes; length: Bytes; ranges: readonly Slice[]; owner: Opening | undefined; of?: Source }>;
/** What is `left` of a mapping in the first process, or in a child; both under the name that the first gave it. */
export type Mapping = Readonly<{ process: Handle | undefined; name: Handle; source: Source }> &
  Readonly<{ left: readonly Interval[] }>;

/**
 * [iova, iova + length) reaches [offset, offset + length) of the source's memory while live. Death is final.
 * `writable`: the pages were first mapped for writing, so a copy may ask for it.
 */
export type Area = Readonly<{ iova: Iova; length: Bytes; prot: Prot; live: boolean }> &
  Readonly<{ source: Source; offset: Bytes; writable: boolean }>;

/**
 * An I/O address space: disjoint areas, ascending. Each of its domains translates all that are live. `allowed`: where
 * the kernel may choose, anywhere if there is none. `largePages`: not all is mapped page by page.
 */
export type Ioas = Readonly<{ space: Space; areas: readonly Area[]; domains: readonly Domain[] }> &
  Readonly<{ allowed: readonly Interval[]; largePages: boolean }>;

/**
 * `memory` is the bit of PCI_COMMAND. What was exported is `lost` since the device last took it back and did not give
 * it again; the `spared` ones were born usable since then. `opening` is what its name stands for, `holder` the opening
 * that has it bound, which a CPU mapping may keep after its descriptor is closed. A test device has neither, and a
 * context from birth. The whole group is in `domain` while any device of it is attached.
 */
export type Device = Readonly<{ name: Handle; config: DeviceConfig; memory: boolean; power: 0 | 3 }> &
  Readonly<{ opening: Opening | undefined; holder: Opening | undefined; context: Context | undefined }> &
  Readonly<{ attached: boolean; domain: Domain | undefined; lost: boolean; spared: readonly Source[] }> &
  Readonly<{ lowPower: 'until left' | 'until woken' | undefined }>;

/**
 * `handles`: what a name was given to; `undefined` is a closed descriptor, and a test device leads to its context. An
 * IOAS or domain that is nowhere in `ioases` is destroyed. `contexts`: those whose descriptor is open; without it, a
 * context lives while a device is bound to it. `takenBack`: buffers that are revoked for themselves: those of the test
 * exporter until it restores them, others for good. `processes`: the children.
 */
export type State = Readonly<{ machine: Machine; ioases: readonly Ioas[]; devices: readonly Device[] }> &
  Readonly<{ handles: ReadonlyMap<Handle, Named | undefined>; contexts: readonly Context[] }> &
  Readonly<{ takenBack: readonly Source[]; mappings: readonly Mapping[]; processes: readonly Handle[] }>;
export type Named = Context | Space | Domain | Source;
/** With the lowest page size of a domain, and what lies outside its aperture; and whether the CPU maps dma-bufs. */
type Machine = MachineConfig & Readonly<{ grain: Bytes; outside: MachineConfig['reserved']; mapsBuffers: boolean }>;

/**
 * What a command answers and leads to. A refusal changes nothing, unless it comes with a state of its own.
 * `refused`: the automatic IOVA breaks what is promised of it.
 */
export type Outcome = Readonly<{ state: State; ok: Answer } | { err: Errno; state?: State } | { refused: string }>;

export const initial = (machine: MachineConfig, mapsBuffers = false): State => {
  const [grain, outside] = [machine.pageSizes[0]!, gaps([machine.aperture], 0n, MAX)];
  const devices = [...machine.devices].map(([name, config]): Device => ({ name, config, ...LOOSE }));
  const nothing = { ioases: [], handles: new Map(), contexts: [], takenBack: [], mappings: [], processes: [] };
  return { machine: { ...machine, grain, outside, mapsBuffers }, devices, ...nothing };
};

/** What the device's domain maps, even if the device itself is detached or closed meanwhile. */
export const mapped = (s: State, dev: Handle): readonly Area[] =>
  home(s, deviceNamed(s, dev).domain, true).areas.filter(({ live }) => live);

/** What a DMA to `iova` touches. This is the promise; the rest says how it comes about. */
export const reach = (s: State, dev: Handle, iova: Iova): Touched | undefined => {
  const area = mapped(s, dev).find((it) => it.iova <= iova && iova < it.iova + it.length);
  return area && { memory: area.source.memory, offset: area.offset + iova - area.iova, prot: area.prot };
};
export type Touched = Readonly<{ memory: string; offset: Bytes; prot: Prot }>;

/** One command; every one is legal. `choice` is the automatic IOVA that was answered. */
export const step = (s: State, c: Command, choice?: Iova): Outcome =>
  match(c.do)
    .returnType<Outcome>()
    .with('ioas_map_file', 'ioas_map', (is) => map(s, its(is, c), choice))
    .with('ioas_copy', (is) => copy(s, its(is, c), choice))
    .with('ioas_unmap', (is) => unmap(s, its(is, c)))
    .with('dma_read', (is) => read(s, its(is, c)))
    .with('vfio_memory', 'vfio_power', (is) => devices.toggle(s, its(is, c)))
    .with('vfio_export', (is) => buffers.exportBar(s, its(is, c)))
    .with('vfio_attach', (is) => domains.attach(s, its(is, c)))
    .otherwise((is) => seldom(s, its(is, c)));

/** Apart from the others, because a row costs its time whether or not it applies. */
type Seldom = Exclude<Command['do'], `ioas_${'map' | 'map_file' | 'copy' | 'unmap'}` | 'dma_read' | Often>;
type Often = `vfio_${'memory' | 'power' | 'export' | 'attach'}`;
const seldom = (s: State, c: Do<Seldom>): Outcome =>
  match(c.do)
    .returnType<Outcome>()
    .with('ioas_iova_ranges', (is) => spaces.iovaRanges(s, its(is, c)))
    .with('fd_close', (is) => memory.redirect(s, its(is, c).fd, its(is, c).fd))
    .with('hwpt_alloc', (is) => domains.hwptAlloc(s, its(is, c)))
    .with('destroy', (is) => spaces.destroy(s, its(is, c)))
    .with('peek', (is) => memory.peek(s, its(is, c)))
    .with('vfio_reset', 'vfio_flr', (is) => devices.reset(s, its(is, c)))
    .with('vfio_hot_reset', (is) => devices.hotReset(s, its(is, c)))
    .with('bar_mmap', (is) => memory.barMmap(s, its(is, c)))
    .with('ioas_allow_iovas', (is) => spaces.allowIovas(s, its(is, c)))
    .with('ioas_option_huge_pages', (is) => spaces.hugePages(s, its(is, c)))
    .with('mem_alloc', 'memfd_create', (is) => memory.create(s, its(is, c)))
    .with('fd_dup', (is) => memory.redirect(s, its(is, c).fd, its(is, c).as, sourceNamed(s, its(is, c).fd)))
    .with('mock_domain', (is) => mock.mockDomain(s, its(is, c)))
    .with('mock_dmabuf', (is) => mock.mockDmabuf(s, its(is, c)))
    .with('mock_revoke', (is) => mock.mockRevoke(s, its(is, c)))
    .with('ioas_alloc', (is) => spaces.ioasAlloc(s, its(is, c)))
    .with('vfio_detach', (is) => domains.leave(s, its(is, c)))
    .with('vfio_open', (is) => devices.open(s, its(is, c)))
    .with('vfio_bind', (is) => devices.bind(s, its(is, c)))
    .with('vfio_close', (is) => domains.close(s, its(is, c)))
    .with('iommufd_open', (is) => spaces.openContext(s, its(is, c)))
    .with('iommufd_close', (is) => spaces.closeContext(s, its(is, c)))
    .with('munmap', (is) => memory.munmap(s, its(is, c)))
    .with('mock_domain_destroy', (is) => mock.mockDestroy(s, its(is, c)))
    .with('fd_mmap', (is) => memory.fdMmap(s, its(is, c)))
    .with('vfio_low_power_entry', (is) => devices.enterLowPower(s, its(is, c)))
    .with('vfio_low_power_exit', (is) => devices.exitLowPower(s, its(is, c)))
    .with('vfio_wake', (is) => devices.wake(s, its(is, c)))
    .with('vfio_dmabuf_revoke', (is) => buffers.revokeForGood(s, its(is, c)))
    .with('vfio_dmabuf_memattr', (is) => buffers.memattr(s, its(is, c)))
    .with('fork', (is) => memory.fork(s, its(is, c)))
    .with('exit', (is) => memory.exit(s, its(is, c)))
    .exhaustive();

/** The command, as the one that its name says it is. */
const its = <Name extends Command['do']>(_: Name, c: Command): Do<Name> => c as Do<Name>;

/** The device reads, and nobody calls it. */
const read = (s: State, { dev, iova }: Do<'dma_read'>): Outcome => {
  const at = reach(s, dev, iova);
  const ok = at?.prot.includes('r') ? { target: targetOf(at.memory, at.offset) } : ({ fault: true } as const);
  return unbound(s, dev) ?? { state: s, ok };
};

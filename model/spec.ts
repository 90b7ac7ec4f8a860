/**
 * The executable specification: what iommufd and the vfio-pci exporter of dma-bufs promise, as one pure function.
 * `step` says what a command answers and leads to, `reach` what a device can touch then. The rules are in chapters:
 * spaces (contexts and their IOASes), areas (map, copy), unmap, domains (attach, detach), devices (power, resets),
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
 * - Locks and waiting: a command is one step. An interleaving is right when some order of its commands fits; those that
 *   are not atomic in the kernel are taken there in smaller steps (`parts.ts`).
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
import { copy, map } from './areas.ts';
import * as buffers from './buffers.ts';
import * as devices from './devices.ts';
import * as domains from './domains.ts';
import type { Hold } from './holds.ts';
import { gaps, MAX } from './iova.ts';
import * as memory from './memory.ts';
import * as mock from './mock.ts';
import { deviceNamed, home, LOOSE, targetOf, unbound } from './names.ts';
import * as spaces from './spaces.ts';
import { unmap } from './unmap.ts';

export type Bytes = bigint;
export type Iova = Bytes;
export type Busy = 'mapped' | 'unmapped' | undefined;
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
 * neither. A mapping is for the CPU: `of` a buffer, or of a BAR, and then it keeps its owner open. `nth`: by age.
 */
export type Source = Readonly<{ is: 'dmabuf' | 'memfd' | 'memory' | 'mapping'; memory: string }> &
  Readonly<{ base: Bytes; length: Bytes; ranges: readonly Slice[]; owner: Opening | undefined; of?: Source }> &
  Readonly<{ nth?: number }>;
/** What is `left` of a mapping in the first process, or in a child; both under the name that the first gave it. */
export type Mapping = Readonly<{ process: Handle | undefined; name: Handle; source: Source }> &
  Readonly<{ left: readonly Interval[] }>;

/**
 * [iova, iova + length) reaches [offset, offset + length) of the source's memory while live. Death is final.
 * `writable`: the pages were first mapped for writing, so a copy may ask for it. `busy`: it is being set up or torn
 * down, and domains map it already, or still; or do not.
 */
export type Area = Readonly<{ iova: Iova; length: Bytes; prot: Prot; live: boolean; busy?: Busy }> &
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
  Readonly<{ lowPower: 'until left' | 'until woken' | undefined; exports: number }>;

/**
 * `handles`: what a name was given to; `undefined` is a closed descriptor, and a test device leads to its context. An
 * IOAS or domain that is nowhere in `ioases` is destroyed. `contexts`: those whose descriptor is open; without it, a
 * context lives while a device is bound to it. `takenBack`: buffers that are revoked for themselves: those of the test
 * exporter until it restores them, others for good. `processes`: the children. `holds`: what commands under way have
 * of it; nobody has anything between commands.
 */
export type State = Readonly<{ machine: Machine; ioases: readonly Ioas[]; devices: readonly Device[] }> &
  Readonly<{ handles: ReadonlyMap<Handle, Named | undefined>; contexts: readonly Context[] }> &
  Readonly<{ takenBack: readonly Source[]; mappings: readonly Mapping[]; processes: readonly Handle[] }> &
  Readonly<{ holds: readonly Hold[] }>;
export type Named = Context | Space | Domain | Source;
/** With the lowest page size of a domain, and what lies outside its aperture; and whether the CPU maps dma-bufs. */
type Machine = MachineConfig & Readonly<{ grain: Bytes; outside: MachineConfig['reserved']; mapsBuffers: boolean }>;

/**
 * What a command answers and leads to. A refusal changes nothing, unless it comes with a state of its own.
 * `refused`: the automatic IOVA breaks what is promised of it.
 */
export type Outcome = Readonly<{ state: State; ok: Answer } | { state?: State; err: Errno } | { refused: string }>;

export const initial = (machine: MachineConfig, mapsBuffers = false): State => {
  const [grain, outside] = [machine.pageSizes[0]!, gaps([machine.aperture], 0n, MAX)];
  const devices = [...machine.devices].map(([name, config]): Device => ({ name, config, ...LOOSE }));
  const nothing = { ioases: [], contexts: [], takenBack: [], mappings: [], processes: [], holds: [] };
  return { machine: { ...machine, grain, outside, mapsBuffers }, devices, handles: new Map(), ...nothing };
};

/** What the device's domain maps, even if the device itself is detached or closed meanwhile. */
export const mapped = (s: State, dev: Handle): readonly Area[] => {
  const { domain } = deviceNamed(s, dev);
  const filled = s.holds.find(({ how, what }) => how === 'fills' && what === domain)?.filled;
  const within = ({ iova }: Area): boolean => !filled || (filled[0] <= iova && iova < filled[1]);
  return home(s, domain, true).areas.filter((area) => area.live && area.busy !== 'unmapped' && within(area));
};

/** What a DMA to `iova` touches. This is the promise; the rest says how it comes about. */
export const reach = (s: State, dev: Handle, iova: Iova): Touched | undefined => {
  const area = mapped(s, dev).find((it) => it.iova <= iova && iova < it.iova + it.length);
  return area && { memory: area.source.memory, offset: area.offset + iova - area.iova, prot: area.prot };
};
export type Touched = Readonly<{ memory: string; offset: Bytes; prot: Prot }>;

/** One command; every one is legal. `choice` is the automatic IOVA that was answered. */
export const step = (s: State, c: Command, choice?: Iova): Outcome => rule(c.do)(s, c, choice);
type Rule<Name extends Command['do'] = Command['do']> = (s: State, c: Do<Name>, choice?: Iova) => Outcome;
/** Each is looked up once, because a row costs its time whether or not it applies. */
const rule = (name: Command['do']): Rule => rules.get(name) ?? rules.set(name, ruleOf(name)).get(name)!;
const rules = new Map<Command['do'], Rule>();

/** The row of a name leads to what takes commands of that name. */
function by<Name extends Command['do']>(take: Rule<Name>): (_: Name) => Rule {
  return () => (s, c, choice) => take(s, c as Do<Name>, choice);
}
const ruleOf = (name: Command['do']): Rule =>
  match(name)
    .returnType<Rule>()
    .with('ioas_map_file', 'ioas_map', by(map))
    .with('ioas_copy', by(copy))
    .with('ioas_unmap', by(unmap))
    .with('dma_read', by(read))
    .with('vfio_memory', 'vfio_power', by(devices.toggle))
    .with('vfio_export', by(buffers.exportBar))
    .with('vfio_attach', by(domains.attach))
    .with('ioas_iova_ranges', by(spaces.iovaRanges))
    .with('fd_close', 'fd_dup', by(memory.redirect))
    .with('hwpt_alloc', by(domains.hwptAlloc))
    .with('destroy', by(spaces.destroy))
    .with('peek', by(memory.peek))
    .with('vfio_reset', 'vfio_flr', by(devices.reset))
    .with('vfio_hot_reset', by(devices.hotReset))
    .with('bar_mmap', by(memory.barMmap))
    .with('ioas_allow_iovas', by(spaces.allowIovas))
    .with('ioas_option_huge_pages', by(spaces.hugePages))
    .with('mem_alloc', 'memfd_create', by(memory.create))
    .with('mock_domain', by(mock.mockDomain))
    .with('mock_dmabuf', by(mock.mockDmabuf))
    .with('mock_revoke', by(mock.mockRevoke))
    .with('ioas_alloc', by(spaces.ioasAlloc))
    .with('vfio_detach', by(domains.leave))
    .with('vfio_open', by(devices.open))
    .with('vfio_bind', by(devices.bind))
    .with('vfio_close', by(domains.close))
    .with('iommufd_open', by(spaces.openContext))
    .with('iommufd_close', by(spaces.closeContext))
    .with('munmap', by(memory.munmap))
    .with('mock_domain_destroy', by(mock.mockDestroy))
    .with('fd_mmap', by(memory.fdMmap))
    .with('vfio_low_power_entry', by(devices.enterLowPower))
    .with('vfio_low_power_exit', by(devices.exitLowPower))
    .with('vfio_wake', by(devices.wake))
    .with('vfio_dmabuf_revoke', by(buffers.revokeForGood))
    .with('vfio_dmabuf_memattr', by(buffers.memattr))
    .with('fork', by(memory.fork))
    .with('exit', by(memory.exit))
    .exhaustive();

/** The device reads, and nobody calls it. */
const read = (s: State, { dev, iova }: Do<'dma_read'>): Outcome => {
  const refusal = unbound(s, dev);
  if (refusal) return refusal;
  const at = reach(s, dev, iova);
  return { state: s, ok: at?.prot.includes('r') ? { target: targetOf(at.memory, at.offset) } : { fault: true } };
};

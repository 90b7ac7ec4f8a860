/**
 * The executable specification: what iommufd and the vfio-pci exporter of dma-bufs promise, as one pure function.
 * `step` says what a command answers and leads to, `reach` what a device can touch then. The rules are in chapters:
 * areas (map, copy, unmap), domains (attach, detach), devices (export, revoke); `iova.ts` is where things go.
 *
 * State is plain readonly data. Quantities are exact `bigint` bytes; areas are half-open, an `Interval` is inclusive.
 * What a step leaves alone stays the same object, so that `===` finds what it changed.
 *
 * What is not modelled, and why nothing is lost:
 * - Page tables and batches: a domain translates exactly the live areas of its IOAS, and that is all that shows.
 * - Locks and waiting: a command is one step. An interleaving is right when some order of its commands fits.
 * - Pins, trackers, attachments, references: an area knows its source, and whether it is live.
 * - The revoked flag of a buffer: it is set while the device does not answer, or was closed since, and only then.
 * - The choice of an automatic IOVA: the kernel answers first, and is judged by what it promises.
 * - The addresses of BARs and of user memory: any that a real machine could have give the same answers.
 * - Failing allocations, memory limits, accesses by kernel drivers, dirty tracking, VFIO type 1, PASIDs, nesting: no
 *   command asks for them.
 */

import { match, P } from 'ts-pattern';
import type { Answer, Errno } from '../trace/answer.ts';
import type { Command, Handle, Prot } from '../trace/command.ts';
import type { DeviceConfig, MachineConfig } from '../trace/machine-config.ts';
import { copy, map, unmap } from './areas.ts';
import { bind, exportBar, hotReset, open, reset, SHUT, toggle } from './devices.ts';
import * as domains from './domains.ts';
import { gaps, MAX } from './iova.ts';
import { deviceNamed, home, NOTHING, sourceNamed, whenBound } from './names.ts';
import { done, first, give } from './outcome.ts';

export type Bytes = bigint;
export type Iova = Bytes;
export type Do<Name extends Command['do']> = Extract<Command, { do: Name }>;

/** Identities: such an object never changes, and is the same thing under whatever name. */
export type Context = Readonly<{ is: 'context'; name: Handle }>;
export type Space = Readonly<{ is: 'ioas'; name: Handle; context: Context }>;
export type Opening = Readonly<{ is: 'opening'; device: Handle }>;
/** A domain made by hand. The automatic one has no object of its own: the `Space` stands for it. */
export type Domain = Readonly<{ is: 'domain'; name: Handle; context: Context; space: Space }>;

/**
 * What can be mapped: `length` bytes of a BAR (`dev0:2`) from `base` on, or of memory or a memfd (`m0`) from 0 on.
 * A dma-buf is made of `ranges`, and has an `owner` that it does not outlive.
 */
export type Source = Readonly<{ is: 'dmabuf' | 'memfd' | 'memory'; memory: string; base: Bytes; length: Bytes }> &
  Readonly<{ ranges: number; owner: Opening | undefined }>;

/**
 * [iova, iova + length) reaches [offset, offset + length) of the source's memory while live. Death is final.
 * `writable`: the pages were first mapped for writing, so a copy may ask for it.
 */
export type Area = Readonly<{ iova: Iova; length: Bytes; prot: Prot; live: boolean }> &
  Readonly<{ source: Source; offset: Bytes; writable: boolean }>;

/** An I/O address space: disjoint areas, ascending. Each of its domains translates all that are live. */
export type Ioas = Readonly<{ space: Space; areas: readonly Area[]; domains: readonly Domain[] }>;

/** `memory` is the bit of PCI_COMMAND. The whole group is in `domain` while any device of it is attached. */
export type Device = Readonly<{ name: Handle; config: DeviceConfig; memory: boolean; power: 0 | 3 }> &
  Readonly<{ opening: Opening | undefined; context: Context | undefined }> &
  Readonly<{ attached: boolean; domain: Space | Domain | undefined }>;

/**
 * `handles`: what a name was given to; `undefined` is a closed descriptor. An IOAS or domain that is nowhere in
 * `ioases` is destroyed. `contexts`: those whose descriptor is open; without it, a context lives while a device is
 * bound to it.
 */
export type State = Readonly<{ machine: Machine; ioases: readonly Ioas[]; devices: readonly Device[] }> &
  Readonly<{ handles: ReadonlyMap<Handle, Named | undefined>; contexts: readonly Context[] }>;
export type Named = Context | Space | Domain | Source;
/** With the lowest page size of a domain, and what lies outside its aperture. */
type Machine = MachineConfig & Readonly<{ grain: Bytes; outside: MachineConfig['reserved'] }>;

/**
 * What a command answers and leads to. A refusal changes nothing, unless it comes with a state of its own.
 * `refused`: the automatic IOVA breaks what is promised of it.
 */
export type Outcome = Readonly<{ state: State; ok: Answer } | { err: Errno; state?: State } | { refused: string }>;

export const initial = (machine: MachineConfig): State => {
  const [grain, outside] = [machine.pageSizes[0]!, gaps([machine.aperture], 0n, MAX)];
  const loose = { ...SHUT, attached: false, domain: undefined };
  const devices = [...machine.devices].map(([name, config]): Device => ({ name, config, ...loose }));
  return { machine: { ...machine, grain, outside }, ioases: [], devices, handles: new Map(), contexts: [] };
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
export const targetOf = (memory: string, offset: Bytes): string => `${memory}+0x${offset.toString(16)}`;

/** One command; every one is legal. `choice` is the automatic IOVA that was answered. Frequent ones come first. */
export const step = (s: State, c: Command, choice?: Iova): Outcome =>
  match(c.do)
    .returnType<Outcome>()
    .with('ioas_map_file', 'ioas_map', (is) => map(s, its(is, c), choice))
    .with('ioas_copy', (is) => copy(s, its(is, c), choice))
    .with('ioas_unmap', (is) => unmap(s, its(is, c)))
    .with('dma_read', (is) => read(s, its(is, c)))
    .with('vfio_memory', 'vfio_power', (is) => toggle(s, its(is, c)))
    .with('vfio_reset', 'vfio_flr', (is) => reset(s, its(is, c)))
    .with('vfio_hot_reset', (is) => hotReset(s, its(is, c)))
    .with('vfio_export', (is) => exportBar(s, its(is, c)))
    .with('vfio_attach', (is) => domains.attach(s, its(is, c)))
    .with('vfio_detach', (is) => whenBound(s, its(is, c).dev, (device) => done(domains.detach(s, device))))
    .with('hwpt_alloc', (is) => domains.hwptAlloc(s, its(is, c)))
    .with('destroy', (is) => domains.destroy(s, its(is, c)))
    .with('fd_dup', (is) => redirect(s, its(is, c).fd, its(is, c).as, sourceNamed(s, its(is, c).fd)))
    .with('fd_close', (is) => redirect(s, its(is, c).fd, its(is, c).fd))
    .with('mem_alloc', 'memfd_create', (is) => create(s, its(is, c)))
    .with('ioas_iova_ranges', (is) => domains.iovaRanges(s, its(is, c)))
    .with('ioas_alloc', (is) => domains.ioasAlloc(s, its(is, c)))
    .with('vfio_open', (is) => open(s, its(is, c)))
    .with('vfio_bind', (is) => bind(s, its(is, c)))
    .with('vfio_close', (is) => domains.close(s, its(is, c)))
    .with('iommufd_open', (is) => domains.openContext(s, its(is, c)))
    .with('iommufd_close', (is) => domains.closeContext(s, its(is, c)))
    .with(P.string, (is) => {
      throw new Error(`the model does not know ${is}`);
    })
    .exhaustive();

/** The command, as the one that its name says it is. */
const its = <Name extends Command['do']>(_: Name, c: Command): Do<Name> => c as Do<Name>;

const read = (s: State, { dev, iova }: Do<'dma_read'>): Outcome =>
  whenBound(s, dev, () => {
    const at = reach(s, dev, iova);
    return { state: s, ok: at?.prot.includes('r') ? { target: targetOf(at.memory, at.offset) } : { fault: true } };
  });

/** The descriptor `as` is one of that file from now on, or closed. */
const redirect = (s: State, fd: Handle, as: Handle, file?: Source): Outcome =>
  first([sourceNamed(s, fd) === NOTHING, 'EBADF']) ?? done(give(s, as, file));

/** At most 1 GiB: a rule of traces, not of the kernel. */
const create = (s: State, c: Do<'mem_alloc' | 'memfd_create'>): Outcome => {
  const is = c.do === 'mem_alloc' ? 'memory' : 'memfd';
  const named: Source = { is, memory: c.as, base: 0n, length: c.length, ranges: 1, owner: undefined };
  return first([c.length === 0n, 'EINVAL'], [c.length > 1n << 30n, 'ENOMEM']) ?? done(give(s, c.as, named));
};

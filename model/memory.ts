/** Memory and files, their descriptors, and what processes map: BARs and buffers, which fault while they are lost. */

import type { Answer } from '../trace/answer.ts';
import type { Handle, Slice } from '../trace/command.ts';
import { born, faults, revoked } from './buffers.ts';
import { released } from './domains.ts';
import { ceil, END, gaps, higher, lower, MAX } from './iova.ts';
import { deviceNamed, mappingNamed, NOTHING, sourceNamed, targetOf, whenBound } from './names.ts';
import { done, first, give, type Refusal, swap } from './outcome.ts';
import type { Bytes, Device, Do, Mapping, Outcome, Source, State } from './spec.ts';

/** The file of a device has its regions side by side, each BAR at its number times this. */
const REGION = 1n << 40n;
const REGIONS = 9;
/** What a process can have in its address space. */
const USER = 1n << 47n;

/** At most 1 GiB: a rule of traces, not of the kernel. */
export const create = (s: State, c: Do<'mem_alloc' | 'memfd_create'>): Outcome => {
  const is = c.do === 'mem_alloc' ? 'memory' : 'memfd';
  const named: Source = { is, memory: c.as, base: 0n, length: c.length, ranges: [], owner: undefined };
  return first([c.length === 0n, 'EINVAL'], [c.length > 1n << 30n, 'ENOMEM']) ?? done(give(s, c.as, named));
};

/** A descriptor is closed, or a second one is of the same file from now on. */
export const redirect = (s: State, c: Do<'fd_close' | 'fd_dup'>): Outcome =>
  first([sourceNamed(s, c.fd) === NOTHING, 'EBADF']) ??
  done(c.do === 'fd_dup' ? give(s, c.as, sourceNamed(s, c.fd)) : give(s, c.fd));

/** What mmap(2) sees for itself before it asks the file. */
const unmappable = (s: State, offset: Bytes, length: Bytes): Refusal | undefined =>
  first([length === 0n || offset % s.machine.pageSize !== 0n, 'EINVAL'], [length >= USER, 'ENOMEM']) ??
  first([offset + length > MAX, 'EOVERFLOW']);

/** The first process has it from now on, whole. */
export const mapSource = (s: State, name: Handle, source: Source | Refusal): Outcome => {
  if ('err' in source) return source;
  const mapping: Mapping = { process: undefined, name, source, left: [[0n, source.length - 1n]] };
  return done({ ...give(s, name), mappings: [...s.mappings, mapping] });
};

/** Whole pages of a BAR. Whether the device answers is only asked when the CPU touches them. */
export const barMmap = (state: State, c: Do<'bar_mmap'>): Outcome =>
  whenBound(state, c.dev, (s, device) => {
    const source = mappableBar(s, device, c);
    return 'err' in source ? source : mapSource(born(s, device, source), c.as, source);
  });
export const mappableBar = (s: State, device: Device, c: Do<'bar_mmap'>): Source | Refusal => {
  const at = (BigInt(c.region) * REGION + c.offset) % END;
  const [bar, base, length] = [Number(at / REGION), at % REGION, ceil(c.length, s.machine.pageSize)];
  const end = ceil(device.config.bars.get(bar) ?? 0n, s.machine.pageSize);
  const refusal =
    first([c.region >= REGIONS, 'EINVAL']) ?? unmappable(s, at, length) ?? first([base + length > end, 'EINVAL']);
  const { holder: owner, exports: nth } = device;
  return refusal ?? { is: 'mapping', memory: `${c.dev}:${bar}`, base, length, ranges: [[base, length]], owner, nth };
};

/**
 * Only some kernels let the CPU map a dma-buf, and of no test exporter; one that is lost is refused. It is a rule of
 * traces that they name nothing else here.
 */
export const fdMmap = (s: State, c: Do<'fd_mmap'>): Outcome => mapSource(s, c.as, mappable(s, c));
export const mappable = (s: State, { fd, offset, length: asked }: Do<'fd_mmap'>): Source | Refusal => {
  const [of, length] = [sourceNamed(s, fd), ceil(asked, s.machine.pageSize)];
  const able = s.machine.mapsBuffers && of.owner !== undefined;
  const refusal =
    first([of === NOTHING, 'EBADF']) ??
    unmappable(s, offset, length) ??
    first([!able || offset + length > of.length, 'EINVAL'], [revoked(s, of), 'ENODEV']);
  if (refusal) return refusal;
  const ranges = part(of.ranges, offset, length);
  return { ...of, is: 'mapping', base: ranges[0]![0], length, ranges, of };
};

/** A stretch of ranges that stand one behind the other. */
export const part = (ranges: readonly Slice[], from: Bytes, length: Bytes): readonly Slice[] => {
  let at = 0n;
  return ranges.flatMap(([offset, bytes]): Slice[] => {
    const [low, high] = [higher(from - at, 0n), lower(from + length - at, bytes)];
    at += bytes;
    return low < high ? [[offset + low, high - low]] : [];
  });
};

/**
 * What is beyond the mapping, or a hole in it, is no address, and what is gone is closed: rules of traces. Of 4 bytes
 * across its end the first ones are touched first. What follows a small BAR in its page has no name.
 */
export const peek = (s: State, { map, offset, process }: Do<'peek'>): Outcome => {
  const { source, left } = mappingNamed(s, map, process) ?? { source: NOTHING, left: [] };
  const [lost, within] = [faults(s, source), left.find(([from, last]) => from <= offset && offset <= last)];
  const [at] = part(source.ranges, offset, 4n)[0] ?? [0n];
  const [dev = '', bar] = source.memory.split(':');
  const value = at < (deviceNamed(s, dev).config.bars.get(Number(bar)) ?? 0n) ? targetOf(source.memory, at) : '?';
  const beyond = !within || (!lost && offset + 3n > within[1]);
  const ok: Answer = lost ? { signal: 'SIGBUS' } : { value };
  return first([source === NOTHING, 'EBADF'], [beyond, 'EFAULT']) ?? { state: s, ok };
};

/** Whole pages of a mapping, or all that is left of it. A device may be held by nothing else. */
export const munmap = (s: State, c: Do<'munmap'>): Outcome => {
  const unmapped = unmapPages(s, c);
  const { source } = mappingNamed(s, c.map, c.process) ?? {};
  return 'ok' in unmapped ? done(released(unmapped.state, source!.owner!.device)) : unmapped;
};
export const unmapPages = (s: State, { map, offset = 0n, length, process }: Do<'munmap'>): Outcome => {
  const it = mappingNamed(s, map, process);
  if (!it) return { err: 'EBADF' };
  const end = offset + ceil(length ?? it.source.length - offset, s.machine.pageSize);
  const ragged = offset % s.machine.pageSize !== 0n || end <= offset;
  const refusal = first([ragged, 'EINVAL'], [end > it.source.length, 'EFAULT']);
  if (refusal) return refusal;
  const left = it.left.flatMap(([from, last]) => gaps([[offset, end - 1n]], from, last));
  const mappings = swap(s.mappings, it, { ...it, left });
  return done({ ...s, mappings: mappings.filter(({ left }) => left.length > 0) });
};

/** A child has what the first process has mapped, and no descriptor. */
export const fork = (s: State, { as }: Do<'fork'>): Outcome => {
  const own = s.mappings.filter(({ process }) => process === undefined);
  const copies = own.map((it): Mapping => ({ ...it, process: as }));
  return done({ ...give(s, as), processes: [...s.processes, as], mappings: [...s.mappings, ...copies] });
};

export const exit = (s: State, c: Do<'exit'>): Outcome => {
  const gone = unmapAll(s, c);
  return 'ok' in gone ? done(s.devices.reduce((rest, { name }) => released(rest, name), gone.state)) : gone;
};
export const unmapAll = (s: State, { process }: Do<'exit'>): Outcome => {
  const processes = s.processes.filter((name) => name !== process);
  const gone: State = { ...s, processes, mappings: s.mappings.filter((it) => it.process !== process) };
  return first([!s.processes.includes(process), 'EBADF']) ?? done(gone);
};

/** Memory and files, their descriptors, and what the CPU maps: BARs, which fault while the device does not answer. */

import type { Answer } from '../trace/answer.ts';
import type { Handle } from '../trace/command.ts';
import { revoked } from './devices.ts';
import { released } from './domains.ts';
import { ceil, END, MAX } from './iova.ts';
import { deviceNamed, NOTHING, sourceNamed, targetOf } from './names.ts';
import { done, first, give, type Refusal } from './outcome.ts';
import type { Bytes, Do, Outcome, Source, State } from './spec.ts';

/** The file of a device has its regions side by side, each BAR at its number times this. */
const REGION = 1n << 40n;
const REGIONS = 9;
/** What a process can have in its address space. */
const USER = 1n << 47n;

/** At most 1 GiB: a rule of traces, not of the kernel. */
export const create = (s: State, c: Do<'mem_alloc' | 'memfd_create'>): Outcome => {
  const is = c.do === 'mem_alloc' ? 'memory' : 'memfd';
  const named: Source = { is, memory: c.as, base: 0n, length: c.length, ranges: 1, owner: undefined };
  return first([c.length === 0n, 'EINVAL'], [c.length > 1n << 30n, 'ENOMEM']) ?? done(give(s, c.as, named));
};

/** The descriptor `as` is one of that file from now on, or closed. */
export const redirect = (s: State, fd: Handle, as: Handle, file?: Source): Outcome =>
  first([sourceNamed(s, fd) === NOTHING, 'EBADF']) ?? done(give(s, as, file));

/** What mmap(2) sees for itself before it asks the file. */
const unmappable = (s: State, offset: Bytes, length: Bytes): Refusal | undefined =>
  first([length === 0n || offset % s.machine.pageSize !== 0n, 'EINVAL'], [length >= USER, 'ENOMEM']) ??
  first([offset + length > MAX, 'EOVERFLOW']);

/** Whole pages of a BAR. Whether the device answers is only asked when the CPU touches them. */
export const barMmap = (s: State, { dev, region, offset, length, as }: Do<'bar_mmap'>): Outcome => {
  const { opening, holder, config } = deviceNamed(s, dev);
  const at = (BigInt(region) * REGION + offset) % END;
  const [bar, base, bytes] = [Number(at / REGION), at % REGION, ceil(length, s.machine.pageSize)];
  const end = ceil(config.bars.get(bar) ?? 0n, s.machine.pageSize);
  const memory = `${dev}:${bar}`;
  return (
    first([!opening, 'EBADF'], [opening !== holder || region >= REGIONS, 'EINVAL']) ??
    unmappable(s, at, bytes) ??
    first([base + bytes > end, 'EINVAL']) ??
    done(give(s, as, { is: 'mapping', memory, base, length: bytes, ranges: 1, owner: holder }))
  );
};

/** No exporter lets the CPU map a dma-buf; it is a rule of traces that they name nothing else here. */
export const fdMmap = (s: State, { fd, offset, length }: Do<'fd_mmap'>): Outcome =>
  first([sourceNamed(s, fd) === NOTHING, 'EBADF']) ??
  unmappable(s, offset, ceil(length, s.machine.pageSize)) ?? { err: 'EINVAL' };

/**
 * What is beyond the mapping is no address, and what is gone is closed: rules of traces. Of 4 bytes across its end the
 * first ones are touched first. What follows a small BAR in its page has no name.
 */
export const peek = (s: State, { map, offset }: Do<'peek'>): Outcome => {
  const mapping = sourceNamed(s, map, true);
  const { is, owner, memory, base, length } = mapping;
  const lost = revoked(s, mapping);
  const bar = deviceNamed(s, owner?.device ?? '').config.bars.get(Number(memory.split(':')[1])) ?? 0n;
  const value = base + offset < bar ? targetOf(memory, base + offset) : '?';
  const ok: Answer = lost ? { signal: 'SIGBUS' } : { value };
  const beyond = offset >= length || (!lost && offset + 4n > length);
  return first([is !== 'mapping', 'EBADF'], [beyond, 'EFAULT']) ?? { state: s, ok };
};

export const munmap = (s: State, { map }: Do<'munmap'>): Outcome => {
  const { is, owner } = sourceNamed(s, map, true);
  return first([is !== 'mapping', 'EBADF']) ?? done(released(give(s, map), owner!.device));
};

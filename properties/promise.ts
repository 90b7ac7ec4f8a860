/** What the model promises of memory, in the words of an observation. */
import type { AreaSeen, Stretch } from '../model/invariants.ts';
import type { Area, State } from '../model/spec.ts';
import type { Looked } from './look.ts';

/**
 * Memory that its owner has taken back, and not given again: of devices, and of buffers of the test exporter. What is
 * of one buffer that was revoked for good may be of another, too.
 */
export function revokedMemory({ devices, takenBack }: State): readonly Stretch[] {
  const revoked: Stretch[] = [];
  for (const { name, config, memory, power } of devices) {
    if (memory && power === 0) continue;
    for (const [bar, length] of config.bars) revoked.push({ memory: `${name}:${bar}`, offset: 0n, length });
  }
  for (const { memory, base, length, owner } of takenBack)
    if (owner === undefined) revoked.push({ memory, offset: base, length });
  return revoked;
}

/** An area as a domain must show it, live or shot. A dma-buf's was made from the one range of its buffer. */
export function seenArea({ name, page }: Looked, { iova, length, source, offset, live }: Area): AreaSeen {
  const { is, memory, base } = source;
  const slice = is === 'dmabuf' ? { memory, offset: base, length: source.length } : undefined;
  return { domains: [name], iova, length, memory, offset, shot: !live, slice, page };
}

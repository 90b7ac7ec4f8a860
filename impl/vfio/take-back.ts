/** What every operation does that takes the memory of a function away: nothing may reach it from then on. */
import { current, type Thread } from '../kernel/thread.ts';
import { zapBars } from './bar-mapping.ts';
import type { VfioPciDevice } from './pci-device.ts';
import { vfioPciDmaBufMove } from './pci-dmabuf-revoke.ts';

/**
 * Revoke all buffers, and take the CPU's entries of BARs away: up to 7.3 the CPU goes first; in the unmerged series the
 * buffers, most of which stand behind those entries.
 * Locks: caller holds memory_lock for writing
 */
export function* takeBack(device: VfioPciDevice): Thread {
  const { buffersFirst } = current().kernel.features;
  if (!buffersFirst) yield* zapBars(device);
  yield* vfioPciDmaBufMove(device, true);
  if (buffersFirst) yield* zapLeft(device);
}

/** The entries of BARs that go after the buffers: all up to 7.3; in the series those with no buffer behind them. */
export function* zapLeft(device: VfioPciDevice): Thread {
  if (device.zapBarsOnRevoke || !current().kernel.features.buffersFirst) yield* zapBars(device);
}

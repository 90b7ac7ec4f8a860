/** The steps of the contrast: what one process does to a BAR that it has mapped for the DMA of another device. */
import * as fc from 'fast-check';

/** Small numbers, which the state gives a meaning: the first mapping, the second place in the I/O address space. */
export type Step =
  | { readonly do: 'mmapBar'; readonly page: number; readonly pages: number }
  | { readonly do: 'mapDma'; readonly map: number; readonly at: number }
  | { readonly do: 'unmapDma'; readonly at: number }
  | { readonly do: 'touch'; readonly map: number }
  | { readonly do: 'memory'; readonly how: 'command' | 'power'; readonly on: boolean }
  | { readonly do: 'reset' }
  | { readonly do: 'munmap'; readonly map: number }
  | { readonly do: 'closeDev' }
  | { readonly do: 'openDev' };

/** Pages of the BAR, and places at which something can be mapped. */
export const PAGES = 4;
export const PLACES = 3;

const only = <T>(value: T): fc.Arbitrary<T> => fc.constant(value);
const map = fc.nat(2);
const at = fc.nat(PLACES - 1);

const kinds: readonly { readonly weight: number; readonly arbitrary: fc.Arbitrary<Step> }[] = [
  {
    weight: 5,
    arbitrary: fc.record({
      do: only('mmapBar' as const),
      page: fc.nat(PAGES - 1),
      pages: fc.integer({ min: 1, max: 2 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: only('mapDma' as const), map, at }) },
  { weight: 2, arbitrary: fc.record({ do: only('unmapDma' as const), at }) },
  { weight: 1, arbitrary: fc.record({ do: only('touch' as const), map }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: only('memory' as const),
      how: fc.constantFrom('command' as const, 'power' as const),
      on: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: only('reset' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: only('munmap' as const), map }) },
  { weight: 3, arbitrary: fc.record({ do: only('closeDev' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: only('openDev' as const) }) },
];

export const sequences: fc.Arbitrary<Step[]> = fc.array(fc.oneof(...kinds), { maxLength: 20, size: 'max' });

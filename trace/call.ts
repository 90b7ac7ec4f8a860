/** The calls to the IOMMU driver as they stand in a trace, and the values they are read into. */
import * as z from 'zod';
import type { TracedCall, Version } from './trace.ts';
import { hex, is, list, object, target, words } from './values.ts';

const mapWord = z.literal('map', is('is not "map"'));
const unmapWord = z.literal('unmap', is('is not "unmap"'));
const memory = z.enum(['mmio', 'cache'], is('is not "mmio" or "cache"'));
const domain = object({ domain: words });

/** Said when no alternative fits from the first word on; otherwise the one that does complains. */
const notCall = is('is neither ["map", iova, target, length] nor ["unmap", iova, length]');

const plain = z.union([z.tuple([mapWord, hex, target, hex]), z.tuple([unmapWord, hex, hex])], notCall);

const extended = z
  .union(
    [
      z.tuple([mapWord, hex, target, hex]),
      z.tuple([mapWord, hex, target, hex, memory]),
      z.tuple([mapWord, hex, target, hex, domain]),
      z.tuple([mapWord, hex, target, hex, memory, domain]),
      z.tuple([unmapWord, hex, hex]),
      z.tuple([unmapWord, hex, hex, domain]),
    ],
    notCall,
  )
  .meta({
    id: 'call',
    description: 'A call to the IOMMU driver: the memory of a map may be "mmio" or "cache"; any may name its domain.',
  });

type Written = z.output<typeof extended>;

function read(written: Written): TracedCall {
  const [word, iova, ...rest] = written;
  const last = rest.at(-1);
  const at = typeof last === 'object' ? last : undefined;
  if (word === 'unmap') return { call: [word, iova, written[2]], ...at };
  const fifth = written[4];
  return {
    call: [word, iova, written[2], written[3]],
    ...(typeof fifth === 'string' && { memory: fifth }),
    ...at,
  };
}

function write({ call, memory: fifth, domain: name }: TracedCall): Written {
  const at = name === undefined ? undefined : { domain: name };
  if (call[0] === 'unmap') return at ? [...call, at] : [...call];
  if (fifth === undefined) return at ? [...call, at] : [...call];
  return at ? [...call, fifth, at] : [...call, fifth];
}

const codec = (schema: z.ZodType<Written>): z.ZodType<TracedCall> =>
  z.codec(schema, z.custom<TracedCall>(), { decode: read, encode: write });

const lists = {
  1: list(codec(plain)),
  2: list(codec(extended)).meta({ id: 'calls', description: 'The calls of all domains during the step, in order.' }),
} as const;

/** The `iommu` of a step. */
export const calls = (version: Version): z.ZodType<TracedCall[]> => lists[version];

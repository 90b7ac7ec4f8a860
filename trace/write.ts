/**
 * Writes traces: the same trace gives the same text, and `parseTrace` gives the same trace back. Keys stand in the
 * order of the format, devices and reach in the order of their maps.
 */
import * as z from 'zod';
import { complaint, firstIssue } from './error.ts';
import { traceSchema } from './schema.ts';
import type { Trace } from './trace.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * The text of a `.json` file: one line a step and a device, to be read and compared.
 *
 * Fails: a TraceError for what the format cannot say, such as a length of more than 64 bits
 */
export const writeTrace = (trace: Trace): string => `${spread(encode(trace), '', '')}\n`;

/** The text of one line of a `.jsonl` file, without the line break. */
export const writeTraceLine = (trace: Trace): string => JSON.stringify(encode(trace));

function encode(trace: Trace): Json {
  const written = z.safeEncode(traceSchema(trace.version), trace);
  if (written.success) return written.data as unknown as Json;
  const { path, wrong } = firstIssue(written.error.issues);
  throw complaint(trace.name, { steps: trace.steps.map(({ command }) => command) }, path, wrong);
}

/** What has a line for each of its parts; everything else is a line. */
const SPREAD: ReadonlySet<string> = new Set([
  '',
  '.machine',
  '.machine.devices',
  '.steps',
  '.threads',
  '.threads.branches',
  '.threads.branches.*',
]);

function spread(value: Json, path: string, indent: string): string {
  const inner = `${indent}  `;
  if (!SPREAD.has(path) || typeof value !== 'object' || value === null) return inline(value);
  if (Array.isArray(value)) {
    const items = value.map((item) => `${inner}${spread(item, `${path}.*`, inner)}`);
    return items.length === 0 ? '[]' : `[\n${items.join(',\n')}\n${indent}]`;
  }
  const parts = Object.entries(value).map(
    ([key, part]) => `${inner}${JSON.stringify(key)}: ${spread(part, `${path}.${key}`, inner)}`,
  );
  return parts.length === 0 ? '{}' : `{\n${parts.join(',\n')}\n${indent}}`;
}

/** JSON on one line, with air between the brackets. */
function inline(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `[ ${value.map(inline).join(', ')} ]`;
  const parts = Object.entries(value).map(([key, part]) => `${JSON.stringify(key)}: ${inline(part)}`);
  return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
}

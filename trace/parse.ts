/** Reads traces: from text, from a file, from every file in a folder. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { flaws } from './check.ts';
import { complaint, firstIssue, TraceError } from './error.ts';
import { FORMAT, traceSchema } from './schema.ts';
import { STEPS } from './steps.ts';
import type { Trace, Version } from './trace.ts';
import { brief } from './values.ts';

/** The text of one trace, and where it stands: `core.jsonl:3`, or the file itself. */
export interface TraceText {
  readonly where: string;
  readonly text: string;
}

/** A trace, and where it stands. */
export interface TraceFile {
  readonly where: string;
  readonly trace: Trace;
}

/**
 * The trace that a text says; `where` names the text in complaints. A reader that knows only version 1 refuses
 * version 2 as one it does not know.
 *
 * Fails: a TraceError of one line about the first thing that is wrong
 */
export function parseTrace(text: string, where: string, newest: Version = 2): Trace {
  const root = parseJson(text, where);
  const version = versionOf(root, where, newest);
  const read = z.safeDecode(traceSchema(version), root);
  if (!read.success) {
    const { path, wrong } = firstIssue(read.error.issues);
    throw complaint(where, root, path, version === 1 && NEWER.has(wrong) ? `${wrong}, which needs version 2` : wrong);
  }
  for (const { path, wrong } of flaws(read.data)) throw complaint(where, root, path, wrong);
  return read.data;
}

/** The traces of a file, or of every `.json` and `.jsonl` file of a folder and the folders in it, by name. */
export function* readTraces(path: string): Generator<TraceFile> {
  for (const { where, text } of traceTexts(path)) yield { where, trace: parseTrace(text, where) };
}

/** What `readTraces` parses: for a caller that wants to go on after a malformed trace. One file is held at a time. */
export function* traceTexts(path: string): Generator<TraceText> {
  for (const file of traceFiles(path)) {
    const text = readFileSync(file, 'utf8');
    if (!file.endsWith('.jsonl')) yield { where: file, text };
    else yield* lines(file, text);
  }
}

/** What a version 1 file is told about a key that it may not have yet. */
const NEWER: ReadonlySet<string> = new Set([
  ...['blocked', 'fault', 'kernel', 'threads', 'process'].map((key) => `unknown key ${brief(key)}`),
  ...Object.entries(STEPS).flatMap(([name, row]) =>
    'added' in row && row.added === 'step' ? [`${brief(name)} is not a step of the format`] : [],
  ),
]);

function* lines(file: string, text: string): Generator<TraceText> {
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() !== '') yield { where: `${file}:${at + 1}`, text: line };
  }
}

const isTraceFile = (file: string): boolean => file.endsWith('.json') || file.endsWith('.jsonl');

function traceFiles(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new TraceError(`${path}: no such file or folder`);
  if (stat.isDirectory()) {
    const names = readdirSync(path, { recursive: true, encoding: 'utf8' });
    return names
      .filter(isTraceFile)
      .sort()
      .map((name) => join(path, name));
  }
  if (!isTraceFile(path)) throw new TraceError(`${path}: neither a .json nor a .jsonl file`);
  return [path];
}

/** Zod drops a key of this name without a word, so it must not come that far. */
const POISON = '"__proto__"';

function parseJson(text: string, where: string): unknown {
  if (text.includes(POISON)) throw new TraceError(`${where}: "__proto__" is not a name`);
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new TraceError(`${where}: not JSON: ${message.replace(/[\s\p{C}]+/gu, ' ')}`);
  }
}

function versionOf(root: unknown, where: string, newest: Version): Version {
  if (typeof root !== 'object' || root === null || Array.isArray(root)) {
    throw new TraceError(`${where}: not a trace but ${brief(root)}`);
  }
  const { format, version } = root as { format?: unknown; version?: unknown };
  if (format !== FORMAT) {
    throw new TraceError(`${where}: not a trace: format is ${format === undefined ? 'missing' : brief(format)}`);
  }
  if (version === undefined) throw new TraceError(`${where}: version: missing`);
  if (version !== 1 && (version !== 2 || newest < 2)) {
    const known = newest === 1 ? 'version 1' : 'versions 1 and 2';
    throw new TraceError(`${where}: version ${brief(version)} of the format; this reader knows ${known}`);
  }
  return version;
}

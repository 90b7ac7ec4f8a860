/** Where failures are kept: a file each, under the name of what is broken. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Divergence } from '../properties/divergence.ts';
import { type Regression, regressionOf } from '../properties/regression.ts';
import { writeTrace } from '../trace/write.ts';

export const REGRESSIONS: string = fileURLToPath(new URL('../test/regressions/', import.meta.url));

/** Write the failure's trace, unless it is there already; the path, from where we are. */
export const keep = (divergence: Divergence, folder: string = REGRESSIONS): string =>
  keepRegression(regressionOf(divergence), folder);

export function keepRegression({ file, trace }: Regression, folder: string = REGRESSIONS): string {
  const path = join(folder, file);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(path)) writeFileSync(path, writeTrace(trace));
  return relative(process.cwd(), path);
}

/** The file that a failure is in, or why there is none. */
export type Kept = { readonly file: string } | Unwritten;
interface Unwritten {
  readonly unwritten: string;
}

/** The same for the command line, which must not lose a failure because it can not be written. */
export function tryToKeep(regression: Regression, folder: string = REGRESSIONS): Kept {
  try {
    return { file: keepRegression(regression, folder) };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return { unwritten: error.message };
  }
}

/** A failure that was kept, for a person; last how to replay it, or why it could not be written. */
export const reportKept = (kept: Kept, report: (file: string | undefined) => readonly string[]): readonly string[] =>
  'file' in kept ? report(kept.file) : [...report(undefined), '', unwritten(kept)];

export const unwritten = (kept: Unwritten): string => `its trace could not be written: ${kept.unwritten}`;

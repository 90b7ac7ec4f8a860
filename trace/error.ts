/** The one line that a malformed trace is answered with, and where in the file it points. */
import type * as z from 'zod';
import { isDo } from './steps.ts';
import { brief } from './values.ts';

/** A trace that cannot be read or written. Its message is one line for people: the file, the place, what is wrong. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
}

/** The line about what is found at a path of a file. */
export function complaint(file: string, root: unknown, path: readonly PropertyKey[], wrong: string): TraceError {
  const [where, key] =
    path[0] === 'steps' && path.length > 1
      ? [stepName(root, path.slice(0, 2)), path.slice(2)]
      : path[1] === 'branches' && path.length > 3
        ? [`branch ${Number(path[2]) + 1}, ${stepName(root, path.slice(0, 4))}`, path.slice(4)]
        : ['', path];
  return new TraceError([file, where, keyName(key), wrong].filter((part) => part !== '').join(': '));
}

/** The first thing that zod finds wrong. */
export function firstIssue(issues: readonly z.core.$ZodIssue[]): { path: readonly PropertyKey[]; wrong: string } {
  const [issue] = issues;
  if (!issue) return { path: [], wrong: 'not a trace' };
  if (issue.code !== 'invalid_union') return { path: issue.path, wrong: issue.message };
  // The alternative that got past its first word knows best.
  const closest = issue.errors.find(([inner]) => inner !== undefined && inner.path.length > 0 && inner.path[0] !== 0);
  if (!closest) return { path: issue.path, wrong: issue.message };
  const { path, wrong } = firstIssue(closest);
  return { path: [...issue.path, ...path], wrong };
}

/** `step 12 (ioas_map_file)`; without the name where there is none. */
function stepName(root: unknown, path: readonly PropertyKey[]): string {
  const name = at(root, [...path, 'do']);
  return `step ${Number(path.at(-1)) + 1}${isDo(name) ? ` (${name})` : ''}`;
}

/** `iommu[0][2]`, `ok.iova`, counted from 0 as in the file. */
function keyName(path: readonly PropertyKey[]): string {
  const parts = path.map((key) => {
    if (typeof key === 'number') return `[${key}]`;
    return /^[\w.-]+$/.test(String(key)) ? `.${String(key)}` : `[${brief(String(key))}]`;
  });
  return parts.join('').replace(/^[.]/, '');
}

const at = (root: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    root,
  );

/** How long files and lines may be. A line counts when something other than a comment is on it. */
import type { Finding, Module } from './source.ts';

/** The first row that fits a path counts. */
const codeLinesAllowed: ReadonlyArray<readonly [prefix: string, lines: number]> = [
  ['model/spec.ts', 149],
  ['model/', 119],
  ['', 250],
];
/**
 * The rules: `spec.ts` and its chapters. The smaller steps of commands that are not atomic, the invariants, which are
 * judged by, and what is shown come on top.
 */
const modelLinesAllowed = 830;
const besideTheRules = /^model\/(observation|observe|invariants|witnesses|holds|parts?(-[a-z0-9]+)?)\.ts$/;
/** Of the smaller steps. */
const partLinesAllowed = 870;
const smallerSteps = /^model\/(holds|parts?(-[a-z0-9]+)?)\.ts$/;
const columnsAllowed = 120;

/** A file or a line that is too long. */
export function overLong(module: Module): Finding[] {
  const { path, text } = module;
  const lines = codeLines(module);
  const [, allowed] = codeLinesAllowed.find(([prefix]) => path.startsWith(prefix))!;
  const tooLong = { path, line: 1, what: `${lines} lines of code where ${allowed} are allowed` };
  const wide = text.split('\n').flatMap((content, i) => {
    const what = `${content.length} columns wide where ${columnsAllowed} are allowed`;
    return content.length > columnsAllowed ? [{ path, line: i + 1, what }] : [];
  });
  return lines > allowed ? [tooLong, ...wide] : wide;
}

/** The rules of the model as a whole, and its smaller steps: a reviewer is to read each in one sitting. */
export function modelTotal(modules: readonly Module[]): Finding[] {
  const rules = modules.filter(({ path }) => path.startsWith('model/') && !besideTheRules.test(path));
  const parts = modules.filter(({ path }) => smallerSteps.test(path));
  return [...total(rules, 'in all', modelLinesAllowed), ...total(parts, 'in smaller steps', partLinesAllowed)];
}

function total(modules: readonly Module[], where: string, allowed: number): Finding[] {
  const lines = modules.reduce((sum, module) => sum + codeLines(module), 0);
  const what = `${lines} lines of code ${where} where ${allowed} are allowed`;
  return lines > allowed ? [{ path: 'model', line: 1, what }] : [];
}

function codeLines({ text, tree }: Module): number {
  let code = text;
  for (const { start, end } of tree.comments ?? []) {
    if (start === undefined || end === undefined) continue;
    const blank = text.slice(start, end).replace(/[^\n]/g, ' ');
    code = code.slice(0, start) + blank + code.slice(end);
  }
  return code.split('\n').filter((content) => content.trim() !== '').length;
}

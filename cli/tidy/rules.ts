/** All tidy rules over all files. */
import { keptThreads } from './delegation.ts';
import { wrongErasures } from './erasure.ts';
import { forgottenYields } from './generators.ts';
import { forbiddenArrows, importCycles } from './imports.ts';
import { forbiddenWords, leftOvers } from './leftovers.ts';
import { modelTotal, overLong } from './sizes.ts';
import { type Finding, isCode, type Module, parseModule, type Source } from './source.ts';

/** What is untidy in these files, as `file:line: what is wrong`, in the order of files and lines. */
export function tidy(sources: readonly Source[]): string[] {
  const findings: Finding[] = sources.flatMap(forbiddenWords);
  const modules: Module[] = [];
  for (const source of sources.filter(isCode)) {
    try {
      modules.push(parseModule(source));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      findings.push({ path: source.path, line: 1, what: `does not parse: ${error.message}` });
    }
  }
  findings.push(
    ...modules.flatMap(forbiddenArrows),
    ...importCycles(modules),
    ...forgottenYields(modules),
    ...keptThreads(modules),
    ...wrongErasures(modules),
    ...modules.flatMap(leftOvers),
    ...modules.flatMap(overLong),
    ...modelTotal(modules),
  );
  return findings
    .toSorted((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1))
    .map(({ path, line, what }) => `${path}:${line}: ${what}`);
}

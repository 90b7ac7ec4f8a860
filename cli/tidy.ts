/** `npm run tidy`: reads every file of the repository and prints what is untidy, one `file:line: what` a line. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tidy } from './tidy/rules.ts';
import type { Source } from './tidy/source.ts';

const notOurs: ReadonlySet<string> = new Set(['.git', 'node_modules', 'coverage', 'temp']);

const findings = tidy(sourcesUnder(fileURLToPath(new URL('..', import.meta.url))));
for (const finding of findings) console.error(finding);
if (findings.length > 0) process.exitCode = 1;

function sourcesUnder(root: string, folder = ''): Source[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder ? `${folder}/${entry.name}` : entry.name;
    if (notOurs.has(entry.name)) return [];
    if (entry.isDirectory()) return sourcesUnder(root, path);
    return entry.isFile() ? [{ path, text: readFileSync(join(root, path), 'utf8') }] : [];
  });
}

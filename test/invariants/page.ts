/** The rows as a page of Markdown, `docs/invariants.md`. */
import { type Document, rowsOf } from './documents.ts';
import { type Check, type Group, idsOf, type Proof, type Row } from './row.ts';

export function page(documents: readonly Document[]): string {
  return `${[
    '# Invariants',
    '',
    'Every numbered rule of the reference texts, what holds it here, and bugs that break it, each with a test that',
    'fails then. `npm run mutants` puts one bug after the other into a copy of this repository and runs its test.',
    'Rules in bold are those of the four principal properties.',
    '',
    'This page is made from [`test/invariants`](../test/invariants): `npx vitest run invariants-table -u` writes it.',
    ...documents.flatMap(documentLines),
    '',
    ...linkTargets(documents),
  ].join('\n')}\n`;
}

function documentLines(document: Document): string[] {
  const rows = rowsOf(document);
  const proofs = rows.reduce((sum, row) => sum + row.proofs.length, 0);
  const never = rows.filter((row) => row.impossible !== undefined).length;
  return [
    '',
    `## ${document.name}, ${document.section}`,
    '',
    `${rows.length - never} of ${document.groups.flatMap(idsOf).length} rules are checked, with ${proofs} bugs in all.`,
    ...document.groups.flatMap(groupLines),
  ];
}

function groupLines({ heading, rows }: Group): string[] {
  const head = ['| | Rule | Held by | Bug, and the test that finds it |', '|---|---|---|---|'];
  return ['', `### ${heading}`, '', ...head, ...rows.map(rowLine)];
}

function rowLine(row: Row): string {
  const { id, says, core, impossible } = row;
  const held = row.checks.map(checkCell);
  if (impossible !== undefined) held.push(`*impossible here: ${impossible}*`);
  const cells = [core ? `**${id}**` : id, says, held.join('<br>'), row.proofs.map(proofCell).join('<br>')];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

const checkCell = ({ kind, file, name }: Check): string => `${kind} [\`${name}\`][${file}]`;
const proofCell = ({ bug, test }: Proof): string => `${bug}: [${test.title}][${test.file}]`;

/** Where the links lead: one line for each file, so that the tables stay as narrow as they can. */
function linkTargets(documents: readonly Document[]): string[] {
  const rows = documents.flatMap(rowsOf);
  const files = rows.flatMap(({ checks, proofs }) => [...checks, ...proofs.map(({ test }) => test)]);
  return [...new Set(files.map(({ file }) => file))].sort().map((file) => `[${file}]: ../${file}`);
}

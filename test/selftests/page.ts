/** The page of the kernel's selftests, written from the rows. */
import { type Row, type Status, statusOf } from './row.ts';

const WORDS: Record<Status, string> = { covered: 'yes', partly: 'partly', not: 'no' };

const link = (path: string, text: string): string => `[${text}](../${path})`;

/** Traces that differ only in their variant stand in one line. */
function places({ traces = [], tests = [] }: Row): string[] {
  const named = traces.map((trace) => link(`test/traces/${trace}.json`, trace.split('/').at(-1) as string));
  const titled = tests.map(([file, title]) => `${link(`test/${file}`, file)}: ${title.replaceAll('|', '\\|')}`);
  return [...(named.length > 0 ? [named.join(', ')] : []), ...titled];
}

function remark({ note, without, not }: Row): string[] {
  if (not !== undefined) return [not];
  return [...(without === undefined ? [] : [`without ${without}`]), ...(note === undefined ? [] : [note])];
}

const tableOf = (rows: readonly Row[], what: string): string[] => [
  `| | ${what} | Covered | By |`,
  '|---|---|---|---|',
  ...rows.map((row) => {
    const name = what === 'Test' ? `\`${row.name}\`` : row.name;
    return `| ${row.id} | ${name} | ${WORDS[statusOf(row)]} | ${[...places(row), ...remark(row)].join('<br>')} |`;
  }),
];

const head = (rows: readonly Row[]): string => {
  const count = (status: Status): number => rows.filter((row) => statusOf(row) === status).length;
  return `${count('covered')} of ${rows.length} rows are covered, ${count('partly')} partly, ${count('not')} not.`;
};

/** `docs/selftests.md`: the kernel's own tests, and the rows that were derived for dma-bufs. */
export const pageOf = (kernels: readonly Row[], derived: readonly Row[]): string =>
  [
    "# The kernel's selftests",
    '',
    '`test/selftests/rows-*.ts` is where this page is written from.',
    '',
    head(kernels),
    '',
    'A row is covered when all that the test of the kernel does is done here, with the answers that its documentation',
    'gives. A trace named `selftest-…` was recorded from Linux 7.2.13; the others were worked out from the',
    'documentation. A title with `%s` stands for a test of each variant, of the fixture or of the row.',
    '',
    'Of the variants of `iommufd_ioas`, `mock_domain` has one device here, without PASIDs, and `mock_domain_limit` is',
    'not there: like the limits of the fault injection, it makes batches smaller, which no answer shows. Every fixture',
    'ends as in the kernel: after close, no page is pinned.',
    '',
    ...tableOf(kernels, 'Test'),
    '',
    '## Derived rows',
    '',
    'The kernel has no test of a dma-buf with several domains, offsets within pages, copies, accesses or faults. These',
    'rows were derived from what its code promises.',
    '',
    head(derived),
    '',
    ...tableOf(derived, 'What'),
    '',
  ].join('\n');

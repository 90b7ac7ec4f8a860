/** The races as a page of Markdown, `docs/races.md`. */
import { boundOf, judge } from './judge.ts';
import { wordsOf } from './look.ts';
import { type Case, nameOf, type Race, type RaceTable, type Step } from './race.ts';
import type { Search } from './search.ts';

export function page(tables: readonly RaceTable[]): string {
  const lines = [
    '# Races',
    '',
    'Every race of the reference texts, and races of three threads that follow from them, with their starting states',
    'and all the ways in which they may end. They were written from the texts, before the first run; over all',
    'schedules, what is seen must be exactly that. An end says what each actor answers, in order, and the status of',
    'the buffers; then what is reached by DMA and by the CPU, where anything is, and what else the case looks at. Who',
    'is `blocked` has not returned. `npx shootdown race --list` tells the names and numbers to ask for.',
    '',
    'The schedules are all there are, but of those that only swap steps of no concern to each other just one.',
    'Rows with "at most N preemptions" have too many schedules for every run: tests try all with at most N (a',
    'preemption leaves a thread that could go on), and still see every end. The numbers are rounded; the test prints',
    'how many it took, and how many it gave up half-way, because another does the same.',
    '`SHOOTDOWN_RACES=all npx vitest run document-races` makes all,',
    'in half an hour; where there are more than a million (three-T3 with a reset, three-T8) those with at most',
    'three preemptions.',
    '',
    'This page is made from [`properties/races/tables`](../properties/races/tables):',
    '`npx vitest run document-races -u` writes it.',
  ];
  for (const table of tables) {
    lines.push('', `## ${headingOf(table)}`, '');
    lines.push('| | Actors | From | Ends | Schedules |', '|---|---|---|---|---|');
    for (const race of table.races) lines.push(...raceLines(table, race));
    lines.push(...remarkLines(table));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function raceLines(table: RaceTable, race: Race): string[] {
  const found = judge(table, race);
  return race.cases.map((one, i) => {
    const head = i === 0 ? [nameOf(table, race), `${race.actors}: ${race.says}`] : ['', ''];
    const ends = one.ends.map((end) => `\`${wordsOf(end)}\``).join('<br>');
    return `| ${[...head, fromOf(one), ends, countOf(one, found[i] as Search<Step>)].join(' | ')} |`;
  });
}

const fromOf = ({ from, kernel }: Case): string => (kernel === undefined ? from : `${from} (${kernel})`);
function countOf(one: Case, { explored }: Search<Step>): string {
  const digit = 10 ** Math.floor(Math.log10(explored));
  const about = Math.round(explored / digit) * digit;
  const bound = boundOf(one);
  return bound === undefined ? `${about}` : `${about}, with at most ${bound} preemption${bound === 1 ? '' : 's'}`;
}

/** So that section 7.3 of a text is not taken for Linux 7.3. */
function headingOf({ source }: RaceTable): string {
  const [, text, sections = ''] = /^(iommufd|vfio-dmabuf) (.*)$/.exec(source) ?? [];
  return text === undefined ? source : `Section${sections.includes(',') ? 's' : ''} ${sections} of the ${text} text`;
}

/** What a reviewer should look at, under its heading; nothing where there is nothing. */
function remarkLines(table: RaceTable): string[] {
  const lines = table.races.flatMap((race) => {
    const name = nameOf(table, race);
    const { remarks = [], cases } = race;
    const never = cases.flatMap(({ from, unreached = [] }) =>
      unreached.map(({ answers, why }) => `- ${name}, ${from}: never \`${answers}\`, for ${why}.`),
    );
    return [...remarks.map((remark) => `- ${name}: ${remark}`), ...never];
  });
  return lines.length === 0 ? [] : ['', '### Where the text leaves a choice, and what cannot come about', '', ...lines];
}

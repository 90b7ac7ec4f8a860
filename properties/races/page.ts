/** The races as a page of Markdown, `docs/races.md`. */
import { boundOf, judge } from './judge.ts';
import { wordsOf } from './look.ts';
import type { Case, Race, RaceTable, Step } from './race.ts';
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
    'in minutes; where there are more than a million (three-T3 with a reset, three-T8) those with at most three',
    'preemptions.',
    '',
    'This page is made from [`properties/races/tables`](../properties/races/tables):',
    '`npx vitest run document-races -u` writes it.',
  ];
  for (const table of tables) {
    lines.push('', `## ${table.source}`, '');
    lines.push('| | Actors | From | Ends | Schedules |', '|---|---|---|---|---|');
    for (const race of table.races) lines.push(...raceLines(table, race));
    lines.push('', ...remarkLines(table));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function raceLines(table: RaceTable, race: Race): string[] {
  const found = judge(table, race);
  return race.cases.map((one, i) => {
    const head = i === 0 ? [race.id, `${race.actors}: ${race.says}`] : ['', ''];
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

/** What a reviewer should look at. */
function remarkLines({ races }: RaceTable): string[] {
  const lines = ['### Where the text leaves a choice, and what cannot come about', ''];
  for (const { id, remarks = [], cases } of races) {
    for (const remark of remarks) lines.push(`- ${id}: ${remark}`);
    for (const { from, unreached = [] } of cases) {
      for (const { answers, why } of unreached) lines.push(`- ${id}, ${from}: never \`${answers}\`, for ${why}.`);
    }
  }
  return lines;
}

/** The mutants as a page of Markdown, `docs/mutants.md`, and each with its smallest failure as a text beside it. */
import { showSchedule } from '../../explore/schedule.ts';
import { threadNames } from '../../properties/races/show.ts';
import { type Hunt, mean, median } from './hunt.ts';
import type { Mutant } from './mutant.ts';

/** The mutant of whose failure the page shows the drawing. */
const SHOWN = 'H-02';

export function page(hunts: ReadonlyMap<Mutant, Hunt>): string {
  const shown = [...hunts].find(([{ id }]) => id === SHOWN) as [Mutant, Hunt];
  const lines = [
    '# Known bugs, found again',
    '',
    'Bugs of the kernel, of series in review, and some that break one rule of the design, put into the implementation',
    'for as long as a test runs. In its race each must be found by PCT with depth 2 from every one of 50 seeds, in 200',
    'schedules at most on average, and as what it is. Most races are those of [races.md](races.md); without the bug',
    'no schedule fails. Then the failure is made small: the fewest threads, commands and preemptions. The numbers are',
    'those of the reference texts: H and S of iommufd 5.1, M of vfio-dmabuf 9. Many bugs of theirs that are no races',
    'are in [invariants.md](invariants.md), which holds each of its rules against some.',
    '',
    'This page and the drawings are made from [`test/mutants`](../test/mutants):',
    '`npx vitest run test/mutants -u` writes them.',
    '',
    '| | What the wrong code does | Cured | Race | Found as | Schedules: mean, median, most | Smallest |',
    '|---|---|---|---|---|---|---|',
    ...[...hunts].map(([mutant, hunt]) => `| ${cellsOf(mutant, hunt).join(' | ')} |`),
    '',
    'In a schedule `N>K` means: after N steps, to the K-th next thread of those that can run; `sequential`: one after',
    'the other. In the drawing, `┌` takes a lock, `│` holds it, `└` lets go of it; `>` before the number of a step is',
    'a switch away from a thread that could have gone on, `✗` is where it failed.',
    '',
    `## ${SHOWN}, drawn`,
    '',
    '```',
    ...textOf(...shown),
    '```',
  ];
  return `${lines.join('\n')}\n`;
}

/** The smallest failure for a person, with what was wrong in the code. */
export const textOf = ({ id, bug, cured }: Mutant, { told }: Hunt): readonly string[] => [
  `${id}: ${bug}`,
  `Cured: ${cured}`,
  '',
  ...told,
];

function cellsOf({ id, bug, cured, race = 'its own' }: Mutant, { schedules, small }: Hunt): string[] {
  const counts = [mean(schedules).toFixed(1), median(schedules), schedules.at(-1)];
  const smallest = `${actorsOf(small)}, [\`${showSchedule(small.schedule)}\`](mutants/${id}.txt)`;
  return [id, bug, cured, race, `\`${titleOf(small)}\``, counts.join(', '), smallest];
}

export const actorsOf = ({ trial }: Hunt['small']): string => threadNames(trial.threads).join(' ∥ ');

/** What is wrong begins with its kind already, where it is a splat. */
export const titleOf = ({ kind, what }: Hunt['small']): string =>
  what.startsWith(`${kind}: `) ? what : `${kind}: ${what}`;

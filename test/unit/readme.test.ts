/**
 * What the README and the documents say is so. The picture is drawn here, from a real failure; when that has changed
 * for a good reason, `npx vitest run test/unit/readme.test.ts -u` draws it anew.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { REGRESSIONS } from '../../cli/regressions.ts';
import { USAGE } from '../../cli/usage.ts';
import { Machine } from '../../impl/machine.ts';
import { invariants } from '../../model/invariants.ts';
import { reaches } from '../../model/observe.ts';
import { Divergence } from '../../properties/divergence.ts';
import { reachOf } from '../../properties/observe.ts';
import { regressionOf, reportOf } from '../../properties/regression.ts';
import { checkSequences } from '../../properties/sequential.ts';
import { walkCommands } from '../../properties/walk.ts';
import { newWorld, type World } from '../../properties/world.ts';
import { traceTexts } from '../../trace/parse.ts';
import { showCommand, showResult } from '../../trace/show.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const README = read('README.md');
const documents = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md'))
  .map((path) => `docs/${path}`);
const PAGES: readonly string[] = ['README.md', 'CHANGELOG.md', ...documents];

/** The cells of the table that follows a heading, without its first two lines. */
function tableAfter(heading: string): string[][] {
  const [, after = ''] = README.split(`\n## ${heading}\n`);
  const lines = after.split('\n## ')[0]?.split('\n') ?? [];
  const rows = lines.filter((line) => line.startsWith('|')).slice(2);
  return rows.map((row) => row.slice(1, -1).split('|').map(plain));
}

/** Without the marks of code and links. */
const plain = (cell: string): string =>
  cell
    .trim()
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('`', '');

test('the table of invariants has the sentences, reasons and sources of the model, and the file they are in', () => {
  const rows = invariants.map(({ name, because, source }) => [name, because, 'model/invariants.ts', source]);
  expect(tableAfter('Invariants')).toEqual(rows);
  for (const { name } of invariants) expect(read('model/invariants.ts')).toContain(`name: '${name}'`);
});

test('the table of recorded traces has the numbers of the files, none of which is skipped', () => {
  const count = (path: string): number => [...traceTexts(join(ROOT, 'test/traces', path))].length;
  const rows = tableAfter('Conformity');
  expect(rows.length).toBeGreaterThan(0);
  expect(rows.map(([path, number]) => [path, number])).toEqual(rows.map(([path = '']) => [path, String(count(path))]));
  expect(README).toContain(`${count('.')} passed, 0 failed`);
  expect(README).not.toContain(' skipped (');
});

test.each(PAGES)('every relative link of %s leads somewhere, and every file that it names is there', (page) => {
  const links = [...read(page).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, to = '']) => to);
  const relative = links.filter((to) => !/^[a-z]+:/.test(to)).map((to) => join(dirname(page), to));
  const folders = readdirSync(ROOT).filter((name) => !name.includes('.'));
  const named = [...read(page).matchAll(/`([a-z]+\/[\w./-]*)`/g)].map(([, path = '']) => path);
  const ours = named.filter((path) => folders.some((folder) => path.startsWith(`${folder}/`)));
  expect([...relative, ...ours].filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

test.each(PAGES)('every command line in %s is one that there is', (page) => {
  const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> };
  const run = [...read(page).matchAll(/\bnpm run ([\w-]+)/g)].map(([, name = '']) => name);
  expect(run.filter((name) => !(name in scripts))).toEqual([]);
  const commands = [...USAGE.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name);
  const called = [...read(page).matchAll(/\bnpx shootdown (\w+)/g)].map(([, name]) => name);
  expect(called.filter((name) => !commands.includes(name))).toEqual([]);
});

/** A reset that says that it has reset the device, and shoots nothing down. */
class ForgetfulMachine extends Machine {
  override execute(command: Parameters<Machine['execute']>[0]): ReturnType<Machine['execute']> {
    if (command.do === 'vfio_reset' && this.#answers(command.dev)) return { ok: {} };
    return super.execute(command);
  }

  #answers(name: string): boolean {
    const device = this.devices.get(name);
    const memory = ((device?.vconfig?.command ?? 0) & 2) !== 0;
    return device !== undefined && device.resets.length > 0 && device.power === 0 && memory;
  }
}

const forgetful = (config: World['config'], kernel: string): World => ({
  ...newWorld(config, kernel),
  machine: new ForgetfulMachine(config, kernel),
});

/** What `npx shootdown check --seed 2` finds in it. */
function failure(): Divergence {
  const { failure } = checkSequences({ seed: 2, runs: 100, longest: 200, make: forgetful });
  if (failure === undefined) throw new Error('a reset that shoots nothing down was not found');
  return failure;
}

test('the failure in the README is the one that is found, word for word', () => {
  const found = failure();
  const folder = REGRESSIONS.slice(ROOT.length);
  expect(README).toContain(reportOf(found, `${folder}${regressionOf(found).file}`).join('\n'));
  const [, line = ''] = README.split('```ts\n');
  expect(read('impl/vfio/reset.ts')).toContain(line.split('```')[0]);
});

test('the picture in the README is of that failure', async () => {
  await expect(picture(failure())).toMatchFileSnapshot('../../docs/shrunk-failure.svg');
});

/** One line of the picture: a command, the answer that both worlds gave, and what the device reaches in each then. */
interface Row {
  readonly command: string;
  readonly answer: string;
  readonly model: string;
  readonly implementation: string;
}

const DEVICE = 'dev0';

function rowsOf({ world }: Divergence): Row[] {
  if (world === undefined) throw new Error('a divergence that happened in no world');
  const rows: Row[] = [];
  const note = ({ state, machine, history }: World): void => {
    const last = history.at(-1);
    if (last?.result === undefined) return;
    const [model, implementation] = [reaches(state, DEVICE), reachOf(machine, DEVICE)].map((all) =>
      all.map(([iova, target]) => `0x${iova.toString(16)} → ${target}`).join(', '),
    ) as [string, string];
    rows.push({ command: showCommand(last.command), answer: showResult(last.result), model, implementation });
  };
  const again = forgetful(world.config, world.kernel);
  try {
    const commands = world.history.map(({ command }) => command);
    walkCommands(again, commands, note);
  } catch (error) {
    if (!(error instanceof Divergence)) throw error;
    note(again);
  }
  return rows;
}

const [WIDTH, TOP, LINE] = [900, 92, 26];
/** Where each column begins. */
const AT = { number: 44, command: 56, answer: 396, model: 530, implementation: 712 } as const;
const CELL = 172;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const text = (x: number, y: number, looks: string, content: string): string =>
  `  <text x="${x}" y="${y}" class="${looks}">${escaped(content)}</text>`;

/** A stretch of the column of one world: a bar for as long as the device reaches something. */
function cell(x: number, y: number, reach: string, looks: string): string[] {
  if (reach === '') return [text(x, y, 'faint', 'nothing')];
  const bar = `  <rect x="${x - 8}" y="${y - 18}" width="${CELL}" height="${LINE}" class="${looks}"/>`;
  return [bar, text(x, y, `${looks}-text`, reach)];
}

function picture(found: Divergence): string {
  const rows = rowsOf(found);
  const bottom = TOP + LINE * rows.length;
  const height = bottom + 20 + LINE * found.details.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    `  <title>${escaped(`${found.breach}: a shrunk failure`)}</title>`,
    '  <style>',
    '    text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328 }',
    '    .card { fill: #ffffff; stroke: #8c959f }  .rule { stroke: #d0d7de }',
    '    .head { font-weight: bold }  .faint { fill: #656d76 }  .number { fill: #656d76; text-anchor: end }',
    '    .live { fill: #dafbe1 }  .live-text { fill: #0f5323 }',
    '    .bad { fill: #ffcecb }  .bad-text { fill: #82071e; font-weight: bold }',
    '  </style>',
    `  <rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8" class="card"/>`,
    text(24, 32, 'bad-text', `BROKEN: ${found.breach}`),
    text(AT.model, 32, 'head', `what ${DEVICE} reaches then`),
    text(AT.command, 60, 'head', `command, on Linux ${found.world?.kernel}`),
    text(AT.answer, 60, 'head', 'both answer'),
    text(AT.model, 60, 'head', 'by the model'),
    text(AT.implementation, 60, 'head', 'by the page tables'),
    `  <path d="M24 ${TOP - 20} H${WIDTH - 24} M24 ${bottom - 10} H${WIDTH - 24}" class="rule"/>`,
    ...rows.flatMap(({ command, answer, model, implementation }, i) => {
      const y = TOP + LINE * i;
      return [
        text(AT.number, y, 'number', String(i + 1)),
        text(AT.command, y, '', command),
        text(AT.answer, y, '', answer),
        ...cell(AT.model, y, model, 'live'),
        ...cell(AT.implementation, y, implementation, implementation === model ? 'live' : 'bad'),
      ];
    }),
    ...found.details.map((detail, i) => text(AT.command, bottom + 14 + LINE * i, 'bad-text', detail)),
    '</svg>',
    '',
  ].join('\n');
}

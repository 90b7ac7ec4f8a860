/**
 * The picture of the contrast: what type 1 and dma-buf have in common, and the three ways in which it ends, side by
 * side. It is drawn from what is found; a text that does not fit its column is refused.
 */
import type { Contrast, Taken } from '../../properties/contrast/contrast.ts';

const [WIDTH, MARGIN, LINE] = [960, 24, 22];
const HALF = 444;
const COLUMNS = [MARGIN, WIDTH - MARGIN - HALF] as const;
/** Of one character, in the widest of the fonts. */
const ADVANCE = 7.45;
const PAD = 10;

const escaped = (content: string): string => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function text(x: number, y: number, looks: string, content: string, room = HALF): string {
  if (content.length * ADVANCE > room) throw new Error(`"${content}" is too wide for ${room} pixels`);
  return `  <text x="${x}" y="${y}" class="${looks}">${escaped(content)}</text>`;
}

/** The picture, for counterexamples that begin alike. */
export function pictureOf(contrasts: readonly Contrast[]): string {
  const [first] = contrasts;
  const common = 2;
  if (first === undefined || contrasts.some((it) => startOf(it) !== startOf(first))) throw new Error('no common start');
  let y = 76;
  const body: string[] = [];
  const add = (heading: string, from: number, to: number | undefined, contrast: Contrast): void => {
    const drawn = section(y, heading, contrast.type1.slice(from, to), contrast.dmabuf.slice(from, to));
    body.push(...drawn.svg);
    y = drawn.bottom;
  };
  add('The process maps a page of a BAR of dev0, and gives it to the DMA of dev1.', 0, common, first);
  body.push(`  <path d="M${MARGIN} ${y - 8} H${WIDTH - MARGIN}" class="rule"/>`);
  y += 8;
  for (const [i, contrast] of contrasts.entries())
    add(`${'abc'[i]}) ${ENDS[contrast.kind]}`, common, undefined, contrast);
  return page(y + 2, body);
}

const startOf = ({ type1 }: Contrast): string => JSON.stringify(type1.slice(0, 2).map(({ step }) => step));

const ENDS: Readonly<Record<string, string>> = {
  memory: 'Then dev0 is told not to answer.',
  munmap: 'Or the process gives up its mapping.',
  closeDev: 'Or it gives up its mapping, and then the device.',
};

interface Drawn {
  readonly svg: string[];
  readonly bottom: number;
}

/** A heading, the calls of both sides, and below them what the peer reaches. */
function section(top: number, heading: string, left: readonly Taken[], right: readonly Taken[]): Drawn {
  const sides = [left, right].map((taken) => taken.flatMap(({ lines }) => lines));
  const calls = Math.max(...sides.map(({ length }) => length));
  const bars = top + LINE * (1 + calls) - 8;
  const svg = [text(MARGIN, top + 6, 'head', heading, WIDTH)];
  for (const [i, lines] of sides.entries()) {
    const x = COLUMNS[i] as number;
    for (const [row, { shown, answer }] of lines.entries()) {
      const y = top + LINE * (1 + row) + 8;
      svg.push(text(x + PAD, y, '', shown, HALF - 60), text(x + HALF - PAD, y, 'answer', answer.split(' ')[0] ?? ''));
    }
    const lender =
      i === 0 ? 'the process has it mapped' : top > 100 ? 'its buffer still lends it' : 'a buffer lends it';
    svg.push(...bar(x, bars + 8, [left, right][i]?.at(-1), lender));
  }
  return { svg, bottom: bars + 2 * LINE + 34 };
}

/** What the peer reaches, in words and in colour. */
function bar(x: number, y: number, taken: Taken | undefined, lender: string): string[] {
  const { reach = [], broken = [], why = [] } = taken ?? {};
  const [looks, first, second] =
    broken.length > 0
      ? ['bad', `✗ dev1 STILL REACHES ${reach.join(', ')}`, `  though ${why.join(', ')}`]
      : reach.length === 0
        ? ['gone', '✓ dev1 reaches nothing', '  it was taken back before the call returned']
        : ['live', `✓ dev1 reaches ${reach.join(', ')}`, `  because ${lender}`];
  const box = `  <rect x="${x}" y="${y}" width="${HALF}" height="${2 * LINE + 2}" rx="4" class="${looks}"/>`;
  const line = (at: number, content: string): string =>
    text(x + PAD + (content.startsWith('  ') ? 2 * 7.2 : 0), at, `${looks}-text`, content.trimStart(), HALF - 2 * PAD);
  return [box, line(y + 18, first ?? ''), line(y + 37, second ?? '')];
}

function page(height: number, body: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    '  <title>A BAR given to the DMA of another device: by type 1, and by dma-buf</title>',
    '  <style>',
    '    text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328 }',
    '    .card { fill: #ffffff; stroke: #8c959f }  .rule { stroke: #d0d7de }',
    '    .head { font-weight: bold }  .side { font-size: 14px; font-weight: bold }  .answer { text-anchor: end }',
    '    .live { fill: #dafbe1 }  .live-text { fill: #0f5323 }',
    '    .gone { fill: #eff2f5 }  .gone-text { fill: #454c54 }',
    '    .bad { fill: #ffcecb; stroke: #a40e26; stroke-width: 2 }  .bad-text { fill: #82071e; font-weight: bold }',
    '  </style>',
    `  <rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8" class="card"/>`,
    text(COLUMNS[0] + PAD, 34, 'side', 'type 1: a page number, read once'),
    text(COLUMNS[1] + PAD, 34, 'side', 'dma-buf: memory that is lent'),
    text(COLUMNS[0] + HALF - PAD, 34, 'answer', 'answers'),
    text(COLUMNS[1] + HALF - PAD, 34, 'answer', 'answers'),
    `  <path d="M${MARGIN} 50 H${WIDTH - MARGIN}" class="rule"/>`,
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

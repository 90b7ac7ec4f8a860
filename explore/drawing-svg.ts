/** The drawing of a run as a picture: the bars of locks are boxes, from where one is taken to where it is let go. */

const [LINE, CHARACTER, LANE, MARGIN] = [18, 7.3, 9, 14];
const COLOURS = ['#4a6fa5', '#b3652f', '#4f8a5b', '#8a4f7d'];

/** An SVG of the lines that `Sketch` draws; what stands in a line is at its column, and nothing is lost. */
export function drawingSvg(lines: readonly string[]): string {
  const width = Math.ceil(Math.max(...lines.map((line) => line.length)) * CHARACTER + 2 * MARGIN);
  const height = lines.length * LINE + 2 * MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"`,
    '  font-family="monospace" font-size="12">',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...lines.flatMap((line, row) => [...boxes(line, row), ...words(line, row)]),
    '</svg>',
    '',
  ].join('\n');
}

/** A box for each bar: the lower half of the line where it begins, the upper one where it ends. */
function boxes(line: string, row: number): string[] {
  return [...line.matchAll(/[│┌└]/g)].map(({ 0: bar, index }) => {
    const lane = /[│┌└]*$/.exec(line.slice(0, index))?.[0].length ?? 0;
    const x = MARGIN + (index - lane) * CHARACTER + lane * LANE;
    const y = MARGIN + row * LINE + (bar === '┌' ? LINE / 2 : 0);
    const tall = bar === '│' ? LINE : LINE / 2;
    return `<rect x="${x.toFixed(1)}" y="${y}" width="6" height="${tall}" fill="${COLOURS[lane % COLOURS.length]}"/>`;
  });
}

function words(line: string, row: number): string[] {
  const y = MARGIN + row * LINE + LINE * 0.72;
  return [...line.matchAll(/[^\s│┌└](?:[^│┌└]*?[^\s│┌└])??(?=\s{2,}|\s*[│┌└]|\s*$)/g)].map(({ 0: text, index }) => {
    const lanes = /[│┌└]*(?= ?$)/.exec(line.slice(0, index))?.[0].length ?? 0;
    const x = MARGIN + index * CHARACTER + lanes * (LANE - CHARACTER);
    return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="#222222">${escaped(text)}</text>`;
  });
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

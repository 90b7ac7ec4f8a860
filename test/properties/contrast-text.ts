/** A counterexample and its counterpart, as the files in docs/contrast/ have them. */
import type { Contrast, Kind, Taken } from '../../properties/contrast/contrast.ts';

/** The file of each kind. */
export const FILES: readonly (readonly [file: string, kind: Kind])[] = [
  ['memory-off.txt', 'memory'],
  ['munmap.txt', 'munmap'],
  ['close.txt', 'closeDev'],
];

export function textOf({ type1, dmabuf }: Contrast): string {
  return [
    'By type 1: BROKEN, never mapped while revoked',
    '',
    ...rowsOf(type1),
    '',
    ...(type1.at(-1)?.broken ?? []).map((it) => `  ${it}`),
    '',
    'The same steps by dma-buf: nothing is broken',
    '',
    ...rowsOf(dmabuf),
    '',
  ].join('\n');
}

function rowsOf(taken: readonly Taken[]): string[] {
  const rows = [['', 'system call', 'answer', 'what dev1 reaches then']];
  for (const { lines, reach } of taken) {
    for (const [i, { shown, answer }] of lines.entries()) {
      const last = i === lines.length - 1;
      rows.push([String(rows.length), shown, answer, last ? reach.join(', ') || 'nothing' : '']);
    }
  }
  const widths = [4, 1, 2].map((least, column) => Math.max(least, ...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map(([number = '', shown = '', answer = '', reach = '']) =>
    [number.padStart(4), shown.padEnd(widths[1] ?? 0), answer.padEnd(widths[2] ?? 0), reach].join('  ').trimEnd(),
  );
}

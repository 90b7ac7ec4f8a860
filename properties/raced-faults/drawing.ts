/** A call that fails while a revoke runs, replayed and drawn: a column for each, and where the fault strikes. */
import { Sketch } from '../../explore/drawing.ts';
import type { Result } from '../../trace/answer.ts';
import { showCommand, showResult } from '../../trace/show.ts';
import type { World } from '../world.ts';
import { type RacedThreads, replayRaced } from './kept.ts';

/** What both answered, the drawing, and what is wrong. */
export function drawRaced(world: World, threads: RacedThreads): string[] {
  const { call, revoke, place } = threads;
  const sketches: Sketch[] = [];
  const { raced, wrong, remark } = replayRaced(world, threads, (choose) => {
    const sketch = new Sketch(choose);
    sketches.push(sketch);
    return sketch;
  });
  const shown = [call, revoke].map(({ command }) => showCommand(command));
  const width = Math.max(...shown.map(({ length }) => length));
  const met = raced?.failed === false ? ', and does not come to its fault' : '';
  const line = (i: 0 | 1, result: Result | undefined): string =>
    `  ${(shown[i] as string).padEnd(width)}  ${result === undefined ? 'is cut short' : showResult(result)}`;
  const told = [
    ['call', `${line(0, raced?.called)}${met}`],
    ['revoke', line(1, raced?.revoked)],
  ];
  return [
    ...(place.first === 'call' ? told : told.toReversed()).flat(),
    '',
    ...sketches.flatMap((sketch) => sketch.lines()),
    ...(wrong.length === 0 ? [] : ['', ...wrong]),
    ...(remark === undefined ? [] : ['', remark]),
  ];
}

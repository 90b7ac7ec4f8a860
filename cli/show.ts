/** `shootdown show FILE`: a trace for a person; its threads are run once, and drawn. */
import { drawTrace } from '../properties/drawn.ts';
import { readTraces } from '../trace/parse.ts';
import { showTrace } from '../trace/show-trace.ts';
import { readArguments } from './arguments.ts';
import { UsageError } from './usage.ts';

export function showFile(args: readonly string[]): number {
  const { positionals } = readArguments('show', args, {});
  if (positionals.length === 0) throw new UsageError('show takes a file');
  for (const path of positionals) {
    for (const { trace } of readTraces(path)) {
      const drawing = drawTrace(trace);
      const lines = drawing.length === 0 ? showTrace(trace) : [...showTrace(trace), '', ...drawing];
      console.log(`${lines.join('\n')}\n`);
    }
  }
  return 0;
}

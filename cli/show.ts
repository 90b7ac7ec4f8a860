/** `shootdown show FILE`: a trace for a person. */
import { readTraces } from '../trace/parse.ts';
import { showTrace } from '../trace/show-trace.ts';
import { readArguments } from './arguments.ts';
import { UsageError } from './usage.ts';

export function showFile(args: readonly string[]): number {
  const { positionals } = readArguments(args, {});
  if (positionals.length === 0) throw new UsageError('show takes a file');
  for (const path of positionals) {
    for (const { trace } of readTraces(path)) console.log(`${showTrace(trace).join('\n')}\n`);
  }
  return 0;
}

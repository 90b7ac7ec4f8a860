/** `shootdown check`: what is asked for, and the implementation in the form that it needs. */
import { duration, readArguments, wholeNumber } from './arguments.ts';
import { UsageError } from './usage.ts';

export async function check(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments('check', args, {
    seed: { type: 'string' },
    runs: { type: 'string' },
    time: { type: 'string' },
    json: { type: 'boolean' },
    raw: { type: 'boolean' },
    faults: { type: 'boolean' },
    raced: { type: 'boolean' },
    calls: { type: 'string' },
  });
  if (positionals.length > 0) throw new UsageError(`check takes no files, such as "${positionals[0]}"`);
  const seed = values.seed === undefined ? freshSeed() : wholeNumber('seed', values.seed, 0);
  const limit = values.time === undefined ? undefined : duration('time', values.time);
  const runs = values.runs === undefined ? undefined : wholeNumber('runs', values.runs, 1);
  const calls = values.calls === undefined ? undefined : wholeNumber('calls', values.calls, 1);
  const [faults, raced, raw, json] = [values.faults, values.raced, values.raw, values.json].map((it) => it === true);
  if (faults && (raw || json || calls !== undefined))
    throw new UsageError('--faults takes --raced, --seed, --runs and --time alone');
  if (raced && !faults) throw new UsageError('--raced goes with --faults');
  if (raw && (runs !== undefined || json)) throw new UsageError('--raw takes --calls, not --runs or --json');
  if (calls !== undefined && !raw) throw new UsageError('--calls goes with --raw');
  if (raced) return await (await import('./check-faults.ts')).checkRacedFaults({ seed, runs, limit });
  // Nobody else is on the machine from here on.
  await import('../uniprocessor/register.ts');
  if (faults) return await (await import('./check-faults.ts')).checkFaultSweeps({ seed, runs, limit });
  if (raw) return await (await import('./check-raw.ts')).checkRawCalls({ seed, calls, limit });
  return await (await import('./check-sequences.ts')).checkRandomSequences({ seed, runs, limit, json: json === true });
}

/** Any that fits fast-check's 32 bits. */
const freshSeed = (): number => Math.floor(Math.random() * 2 ** 31);

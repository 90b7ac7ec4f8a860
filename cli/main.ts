/**
 * The command line. Bad input gets one line and exit code 2; a disagreement is exit code 1. A command is loaded when it
 * is asked for, so that `check` can choose the form of the implementation before anybody has loaded it.
 */
import { TraceError } from '../trace/error.ts';
import { USAGE, UsageError, usageOf } from './usage.ts';

async function main([command, ...args]: readonly string[]): Promise<number> {
  const usage = command === undefined ? '' : usageOf(command);
  if (usage !== '' && args.some((arg) => arg === '--help' || arg === '-h')) {
    console.log(usage);
    return 0;
  }
  switch (command) {
    case 'check':
      return await (await import('./check.ts')).check(args);
    case 'race':
      return await (await import('./race.ts')).race(args);
    case 'replay':
      return (await import('./replay.ts')).replayFiles(args);
    case 'show':
      return (await import('./show.ts')).showFile(args);
    case '--help':
    case '-h':
    case 'help':
      console.log(USAGE);
      return 0;
    case undefined:
      throw new UsageError(`no command given\n${USAGE}`);
    default:
      throw new UsageError(`"${command}" is no command; see shootdown --help`);
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError || error instanceof TraceError)) throw error;
  console.error(`shootdown: ${error.message}`);
  process.exitCode = 2;
}

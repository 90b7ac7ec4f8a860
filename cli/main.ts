/** The command line. Bad input gets one line and exit code 2; a disagreement is exit code 1. */
import { TraceError } from '../trace/error.ts';
import { check } from './check.ts';
import { race } from './race.ts';
import { replayFiles } from './replay.ts';
import { showFile } from './show.ts';
import { USAGE, UsageError, usageOf } from './usage.ts';

async function main([command, ...args]: readonly string[]): Promise<number> {
  const usage = command === undefined ? '' : usageOf(command);
  if (usage !== '' && args.some((arg) => arg === '--help' || arg === '-h')) {
    console.log(usage);
    return 0;
  }
  switch (command) {
    case 'check':
      return await check(args);
    case 'race':
      return await race(args);
    case 'replay':
      return replayFiles(args);
    case 'show':
      return showFile(args);
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

/** Reading a command's arguments. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { UsageError } from './usage.ts';

/** Options and files of a command. Fails with a UsageError of one line. */
export function readArguments<T extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  options: T,
): ReturnType<typeof parseArgs<{ options: T; allowPositionals: true; args: string[] }>> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(wordsOf(command, error));
  }
}

/** What Node says, without its advice for those who call `parseArgs`. */
function wordsOf(command: string, error: unknown): string {
  const message = error instanceof Error ? (error.message.split('\n')[0] as string) : String(error);
  const [, unknown] = /^Unknown option '(.*?)'/.exec(message) ?? [];
  if (unknown !== undefined) return `${command} has no option ${unknown}; see shootdown ${command} --help`;
  const [, dashed] = /^Option '(--[a-z]+).*' argument is ambiguous/.exec(message) ?? [];
  if (dashed !== undefined) return `${command} ${dashed} takes no value that begins with a dash`;
  return `${command}: ${message}`;
}

/** A whole number of at least `least`. */
export function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
    throw new UsageError(`--${name} takes a whole number of at least ${least}, not "${text}"`);
  }
  return value;
}

/** Milliseconds of a duration such as `500ms`, `30s`, `5m` or `2h`. */
export function duration(name: string, text: string): number {
  const parts = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)$/.exec(text);
  if (parts === null) throw new UsageError(`--${name} takes a duration such as 30s, 5m or 2h, not "${text}"`);
  if (Number(parts[1]) === 0) throw new UsageError(`--${name} takes some time, not "${text}"`);
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  return Number(parts[1]) * (units[parts[2] as string] as number);
}

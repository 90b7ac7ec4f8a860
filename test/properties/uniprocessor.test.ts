/** The form for one processor is the same implementation: it does the same, and is as wrong where a bug is planted. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { PLANTED_WAITS } from './planted-waits.ts';

/** A process has one form, so each is in one of its own. */
function shown(...form: readonly string[]): { form: string; planted: [bug: string, report: string[]][] } {
  const file = fileURLToPath(new URL('both-forms.ts', import.meta.url));
  return JSON.parse(execFileSync(process.execPath, [...form, file], { encoding: 'utf8' }));
}

test('both forms send the same commands, get the same answers, and report the same of each planted bug', () => {
  const threads = shown();
  const alone = shown('--import', new URL('../../uniprocessor/register.ts', import.meta.url).href);
  expect([threads.form, alone.form]).toEqual(['threads', 'one processor']);
  expect({ ...alone, form: '' }).toEqual({ ...threads, form: '' });
  const reports = new Map(alone.planted);
  for (const { bug, breaches } of PLANTED_WAITS) expect(reports.get(bug)?.at(-1)).toContain(breaches[0]);
});

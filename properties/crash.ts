/** What nobody foresaw: where a kernel would oops. */
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../', import.meta.url);

/** What an error says that is no splat, and the place that threw it, by its path in this project on any machine. */
export function crashOf(error: unknown): readonly [what: string, where: string] {
  const [what = '', ...stack] = (error instanceof Error ? (error.stack ?? error.message) : String(error)).split('\n');
  const where = stack.find((line) => line.trim().startsWith('at ')) ?? '';
  return [what, where.trim().replace(ROOT.href, '').replace(fileURLToPath(ROOT), '')];
}

/**
 * Once this module is loaded, the implementation is loaded in its form for one processor; see `erase.ts`. A process has
 * one form or the other, so it comes before any file of impl/: by `node --import`, or by a dynamic import.
 */
import { registerHooks } from 'node:module';
import { erase } from './erase.ts';

const IMPL = new URL('../impl/', import.meta.url).href;
const THREADS = new URL('kernel/thread.ts', IMPL).href;

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.startsWith(IMPL)) return loaded;
    const { source } = loaded;
    const text = typeof source === 'string' ? source : new TextDecoder().decode(source);
    return { ...loaded, source: erase(text, THREADS) };
  },
});

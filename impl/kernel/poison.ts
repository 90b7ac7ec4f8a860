/**
 * kfree(), and what a debug kernel makes of freed memory (KASAN): whoever reads or writes anything of a freed object
 * gets a splat that says who freed it. The object itself is hollowed out, so nothing is looked up for those that live.
 * That takes about a microsecond for each object freed; so it is done only where `kernel.poisons`, which is wherever
 * several threads are under way. Locks that are part of an object end with it everywhere.
 */
import { Splat } from './splat.ts';
import { running } from './thread.ts';

/** Part of another object, and freed with it: a lock, a completion. */
export interface Embedded {
  destroy(): void;
}

interface Obituary {
  readonly what: string;
  readonly by: string;
}

const OBITUARY = Symbol('freed');

type Freed = { readonly [OBITUARY]: Obituary };

/**
 * The object is nobody's any more. `what` is the kernel's name for such a thing.
 * Fails: a Splat when something in it is still held
 */
export function free(object: object, what: string, ...embedded: readonly Embedded[]): void {
  for (const part of embedded) end(part);
  const task = running();
  if (task?.kernel.poisons !== true) return;
  if (isFreed(object)) throw new Splat('use after free', `${task.name} frees ${told(object)}`);
  for (const key of Object.keys(object)) Reflect.deleteProperty(object, key);
  const obituary: Obituary = { what, by: task.name };
  Object.defineProperty(object, OBITUARY, { value: obituary });
  Object.setPrototypeOf(object, GRAVE);
}

function end(part: Embedded): void {
  part.destroy();
}

/** Whether it is known to be freed: for names that outlive what they stand for, and for observers. */
export const isFreed = (object: object): object is Freed => Object.hasOwn(object, OBITUARY);

/** In place of a freed object's class: whatever is looked for in the object is not there, and so is looked for here. */
const GRAVE: object = new Proxy(Object.create(null), {
  get(_, key, freed: Freed): undefined {
    if (typeof key === 'string') throw used('reads', key, freed);
  },
  set(_, key, __, freed: Freed): boolean {
    throw used('writes', String(key), freed);
  },
});

const used = (does: 'reads' | 'writes', key: string, freed: Freed): Splat =>
  new Splat('use after free', `${running()?.name ?? 'an observer'} ${does} ${told(freed, `.${key}`)}`);

const told = ({ [OBITUARY]: { what, by } }: Freed, field = ''): string => `${what}${field}, which ${by} has freed`;

/**
 * A wrong function in the place of the right one, for as long as one likes: an export of a module, for all other
 * modules that import it; a method of all objects of a class; an entry of a table. The implementation knows nothing of
 * this. An export can be replaced where vitest links the modules, by getters that can be defined anew: `vi.spyOn` does
 * so, too, but a spy keeps every call.
 */
import { type Feature, featuresOf } from '../../impl/kernel/features.ts';

/** Puts the wrong one in; what it gives back takes it out again. */
export type Patch = () => () => void;

export function patch<T extends object, K extends keyof T>(of: T, key: K, wrong: (right: T[K]) => T[K]): Patch {
  return () => {
    const before = Object.getOwnPropertyDescriptor(of, key) as PropertyDescriptor;
    const value = wrong(of[key]);
    Object.defineProperty(of, key, { value, configurable: true, enumerable: true, writable: true });
    return () => {
      Object.defineProperty(of, key, before);
    };
  };
}

/** The kernels of a version, or of a profile, with a bug of others: what was released with it has a switch already. */
export const without = (version: string, feature: Feature): Patch =>
  patch(featuresOf(version) as Record<Feature, boolean>, feature, () => false);

/** Do `work` with all of them in place. */
export function during<T>(patches: readonly Patch[], work: () => T): T {
  const restore = patches.map((put) => put());
  try {
    return work();
  } finally {
    for (const takeOut of restore.reverse()) takeOut();
  }
}

/** How a bug is planted in a running implementation, and taken out. */
import { running } from '../../impl/kernel/thread.ts';

export interface Planted {
  readonly bug: string;
  /** What must be reported; one of these, for a bug that shows in several ways. */
  readonly breaches: readonly string[];
  /** Gives the way to take it out. */
  readonly plant: () => () => void;
}

/** Replace a method for a while; `make` is given the right one. */
export function replace<T extends object, K extends keyof T>(of: T, key: K, make: (right: T[K]) => T[K]): () => void {
  const right = of[key];
  of[key] = make(right);
  return () => {
    of[key] = right;
  };
}

/** The same for what is done when a property is written. */
export function replaceSetter<T extends object, K extends keyof T & string>(
  of: T,
  key: K,
  make: (right: (this: T, value: T[K]) => void) => (this: T, value: T[K]) => void,
): () => void {
  const right = Object.getOwnPropertyDescriptor(of, key) as PropertyDescriptor & { set(this: T, value: T[K]): void };
  Object.defineProperty(of, key, { ...right, set: make(right.set) });
  return () => void Object.defineProperty(of, key, right);
}

/** Whether some lock of a revoke is held. */
export const underRevoke = (): boolean => running()?.held.some(({ name }) => name.includes('memory_lock')) ?? false;

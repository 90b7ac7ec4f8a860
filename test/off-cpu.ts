/** Tests share the modules of their worker, and leave them as they were: no test ends with its task on the CPU. */
import { afterEach, expect } from 'vitest';
import { switchTo } from '../impl/kernel/thread.ts';

afterEach(() => {
  expect(switchTo(undefined)?.name, 'the task that a test has left on the CPU').toBeUndefined();
});

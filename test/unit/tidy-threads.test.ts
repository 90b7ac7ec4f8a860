/** The rules that make sure that threads may become plain functions: `uniprocessor/`. */
import { describe, expect, test } from 'vitest';
import { tidy } from '../../cli/tidy/rules.ts';

const tidied = (files: Readonly<Record<string, string>>): string[] =>
  tidy(Object.entries(files).map(([path, text]) => ({ path, text })));

describe('kept threads', () => {
  const declarations = {
    'impl/kernel/lock.ts':
      'export function* lock(): Thread {}\nexport const run = (make: () => Thread): Thread => make();',
    'impl/kernel/hwpt.ts': 'export class Hwpt {\n  *join(): Thread {}\n}',
  };
  const USER = 'impl/kernel/user.ts';
  const inUser = (text: string, path = USER) =>
    tidied({ ...declarations, [path]: `import { lock, run } from './lock.ts';\n${text}` });
  const KEPT = 'the thread of lock() is kept: `yield*` it, or return it from a plain function';
  const UNSAID = 'the thread of lock() is returned by what does not say so: declare that it returns a Thread';

  test.each([
    ['in a variable', 'function* f(): Thread {\n  const thread = lock();\n}', KEPT],
    ['as an argument', 'function* f(): Thread {\n  yield* run(lock());\n}', KEPT],
    ['in an object', 'export const f = () => ({ thread: lock() });', KEPT],
    ['in a list', 'const all = [lock()];', KEPT],
    ['by a map', 'const all = locks.map((each) => lock(each));', UNSAID],
    ['beside another value', 'function f(): Thread {\n  return made ?? lock();\n}', KEPT],
    ['by a generator that returns it', 'function* f(): Thread<Thread> {\n  return lock();\n}', KEPT],
    ['by a function that does not say so', 'function f() {\n  return lock();\n}', UNSAID],
    ['by an arrow that does not say so', 'const f = () => lock();', UNSAID],
    [
      'beyond a try',
      'function f(): Thread {\n  try {\n    return lock();\n  } finally {\n    g();\n  }\n}',
      'the thread of lock() is returned out of a `try`, which is over before it runs',
    ],
  ])('one that is kept %s is found', (_, text, what) => {
    expect(inUser(text)).toEqual([expect.stringMatching(/^impl\/kernel\/user\.ts:\d+: /)]);
    expect(inUser(text)[0]).toContain(what);
  });

  test.each([
    ['delegated to', 'function* f(): Thread {\n  yield* lock();\n}'],
    ['delegated to in a part', 'function* f(): Thread<boolean> {\n  return !((yield* lock()) ?? (yield* lock()));\n}'],
    ['returned', 'function f(): Thread {\n  return lock();\n}'],
    ['returned in a branch', 'const f = (): Thread => (ready ? lock() : run(() => lock()));'],
    ['made by whom it is handed to', 'export const ops = { open: () => lock() };\nnew File(() => lock());'],
    ['made by deferred work', 'current().work.push(() => lock());'],
  ])('one that is %s is not', (_, text) => expect(inUser(text)).toEqual([]));

  test('drivers keep threads, and so may everybody outside of impl/', () => {
    const kept = 'const threads = [lock()];';
    expect(inUser('function drain() {\n  return [lock()];\n}', 'impl/kernel/thread.ts')).toEqual([]);
    expect(tidied({ 'test/a.test.ts': `import { lock } from '../impl/kernel/lock.ts';\n${kept}` })).toEqual([]);
  });

  test('a list is joined, though there is a thread of that name', () => {
    expect(inUser("const names = all.map(nameOf).join(', ');")).toEqual([]);
  });

  test.each([
    ['a thread that was kept', 'yield* thread;', '`yield*` stands before the call that makes the thread'],
    ['one of two calls', 'yield* (a ? lock() : run(f));', '`yield*` stands before the call that makes the thread'],
    [
      'what it catches',
      'try {\n    yield* lock();\n  } catch {}',
      'a thread that catches would catch that it waits for ever',
    ],
  ])('a thread cannot be relied on with %s', (_, text, what) => {
    const found = inUser(`function* f(): Thread {\n  ${text}\n}`);
    expect(found.filter((each) => each.endsWith(what)).length).toBe(1);
  });

  test('others may catch', () => expect(inUser('function f() {\n  try {\n    g();\n  } catch {}\n}')).toEqual([]));
});

describe('erasure', () => {
  const PATH = 'impl/kernel/user.ts';

  test.each([
    ['a return type in a parameter', 'function* f(a = (): Thread => b): Iterable<A> {\n  yield a;\n}', 1],
    ['a call that joins the line before', 'function* f(): Thread {\n  const a = b\n  yield* (c)();\n}', 1],
  ])('%s is found', (_, text, line) => {
    expect(tidied({ [PATH]: text })).toEqual([`${PATH}:${line}: is something else when it is erased`]);
  });

  test.each([
    ['a generator of what is not said', 'function* f() {}', 'line 1: a generator says what it is, a Thread or another'],
    [
      'a division that looks like a regular expression',
      'function* f(): Thread {\n  const a = {} / g; yield b / 2;\n}',
      "Unexpected reserved word 'yield'. (2:20)",
    ],
  ])('%s cannot be erased', (_, text, what) => {
    expect(tidied({ [PATH]: text })).toEqual([`${PATH}:1: cannot be erased: ${what}`]);
  });

  test('a name that hides what a yield becomes is found, where there is a yield', () => {
    const hiding = 'const a = 1;\nfunction* f(take: A): Thread {\n  yield take;\n}';
    expect(tidied({ [PATH]: hiding })).toEqual([`${PATH}:2: has a \`take\` of its own, where a \`yield\` becomes one`]);
    expect(tidied({ [PATH]: 'function* f(take: A): Thread {}' })).toEqual([]);
  });

  test.each([
    ['threads', 'function* f(): Thread {\n  yield a;\n  return yield* b(yield* c());\n}'],
    ['another generator', 'class A {\n  *[Symbol.iterator](): Generator<A> {\n    yield a;\n    yield* b();\n  }\n}'],
  ])('%s are erased as the parser would', (_, text) => {
    expect(tidied({ [PATH]: text }).filter((each) => !each.includes('stands before'))).toEqual([]);
  });
});

/** Erasing a text for one processor, form by form. */
import { expect, test } from 'vitest';
import { erase } from '../../uniprocessor/erase.ts';

const IMPORT = "import { take } from 'threads';\n";

test.each<[what: string, before: string, after: string]>([
  ['a function', 'function* f(): Thread {}\n', 'function  f(): Thread {}\n'],
  ['one without a name', 'run(function* (): Thread<Errno> {});\n', 'run(function  (): Thread<Errno> {});\n'],
  ['a method', 'class A {\n  *f(): Thread {}\n}\n', 'class A {\n   f(): Thread {}\n}\n'],
  ['a private one', 'class A {\n  *#f(): Thread {}\n}\n', 'class A {\n   #f(): Thread {}\n}\n'],
  ['one of the class', 'class A {\n  static *f(): Thread {}\n}\n', 'class A {\n  static  f(): Thread {}\n}\n'],
  ['one of an object', 'const a = {\n  *[f](): Thread {},\n};\n', 'const a = {\n   [f](): Thread {},\n};\n'],
  [
    'parameters over several lines, some of them functions',
    'function* f(\n  a: () => Thread<A>,\n  { b }: B = g(1),\n): Thread<{ c: C }> {\n  return yield* a();\n}\n',
    'function  f(\n  a: () => Thread<A>,\n  { b }: B = g(1),\n): Thread<{ c: C }> {\n  return        a();\n}\n',
  ],
  ['a delegation', 'yield* f(a, yield* g());\n', '       f(a,        g());\n'],
  ['one that is a part', 'const a = (yield* f()) ?? b;\n', 'const a = (       f()) ?? b;\n'],
  ['one in a branch', 'return a ? b : yield* f();\n', 'return a ? b :        f();\n'],
])('%s keeps its place', (_, before, after) => expect(erase(before, 'threads')).toBe(after));

test.each<[what: string, before: string, after: string]>([
  ['a lock', '  yield a.lock;\n', '  take( a.lock);\n'],
  ['one of several', '  else yield b.of(c, { d: ";" });\n', '  else take( b.of(c, { d: ";" }));\n'],
  ['one with a remark', '  yield a; // it\'s; "b\n', '  take( a); // it\'s; "b\n'],
  [
    'one that is made',
    'yield { ready: () => { a(); }, enter: () => {} };\n',
    'take( { ready: () => { a(); }, enter: () => {} });\n',
  ],
  ['one that is asked for', 'yield lockOf(yield* f());\n', 'take( lockOf(       f()));\n'],
  ['what comes of it', 'const got = yield a;\n', 'const got = take( a);\n'],
  ['a return of it', 'return yield a;\n', 'return take( a);\n'],
])('%s is taken', (_, before, after) => expect(erase(before, 'threads')).toBe(`${after}${IMPORT}`));

test.each([
  ['a comment', "// yield* f(); isn't, function* *\n/**\n * yield a;\n *f(): Thread {\n */\n"],
  ['a string', 'const a = \'yield* f()\' + "function* \\" *f(): Thread {}";\n'],
  ['a template', `const a = \`yield a; \${b ? \`function* \${c}\` : { d: 1 }} \\\` yield* f()\`;\n`],
  ['a regular expression', "const a = b.replace(/yield* [/'] function*/, /'/) / 2;\n"],
  ['a name', 'a.yield = b.function * yielded;\n'],
  ['another generator', "function* f(): Iterable<A> {\n  for (;;) {\n    yield '}';\n    yield* g();\n  }\n}\n"],
  ['the generator of a list', 'class A {\n  *[Symbol.iterator](): Generator<A, void> {\n    yield a;\n  }\n}\n'],
  ['an asynchronous generator', 'async function* f(): AsyncGenerator<A> {\n  yield a;\n}\n'],
  ['a product', 'const a = b *\n  c * (d) * e;\n'],
])('%s stays as it is', (_, text) => expect(erase(text, 'threads')).toBe(text));

test('what follows another generator is erased again', () => {
  expect(erase('function* f(): Iterable<A> {\n  yield a;\n}\nyield* g();\n', 'threads')).toBe(
    'function* f(): Iterable<A> {\n  yield a;\n}\n       g();\n',
  );
});

test.each([
  ['a yield of nothing', '\nyield;\n', 'line 2: a `yield` has something to wait for, and ends its statement'],
  [
    'one within an expression',
    'f(yield a, b);\n',
    'line 1: a `yield` has something to wait for, and ends its statement',
  ],
  [
    'one that only its line ends',
    '{ yield a }\n',
    'line 1: a `yield` has something to wait for, and ends its statement',
  ],
  [
    'a generator of what is not said',
    '\n\nfunction* f() {}\n',
    'line 3: a generator says what it is, a Thread or another',
  ],
])('%s is refused', (_, text, why) => expect(() => erase(text, 'threads')).toThrow(new SyntaxError(why)));

import { describe, expect, test } from 'vitest';
import { tidy } from '../../cli/tidy/rules.ts';

/** Tidies a repository of these files. */
const tidied = (files: Readonly<Record<string, string>>): string[] =>
  tidy(Object.entries(files).map(([path, text]) => ({ path, text })));

const linesOfCode = (count: number): string => 'work();\n'.repeat(count);

describe('import arrows', () => {
  test.each([
    ['model/spec.ts', '../impl/machine.ts', 'model may not import impl/machine.ts'],
    ['impl/machine.ts', '../model/spec.ts', 'impl may not import model/spec.ts'],
    ['impl/kernel/thread.ts', '../../model/spec.ts', 'impl/kernel may not import model/spec.ts'],
    ['impl/kernel/mutex.ts', '../dmabuf/resv.ts', 'impl/kernel may not import impl/dmabuf/resv.ts'],
    ['impl/pci/topology.ts', '../dmabuf/resv.ts', 'impl/pci may not import impl/dmabuf/resv.ts'],
    ['impl/iommu/domain.ts', '../dmabuf/resv.ts', 'impl/iommu may not import impl/dmabuf/resv.ts'],
    ['impl/vfio/pci-device.ts', '../iommufd/ioas.ts', 'impl/vfio may not import impl/iommufd/ioas.ts'],
    ['impl/iommufd/pages.ts', '../vfio/pci-device.ts', 'impl/iommufd may not import impl/vfio/pci-device.ts'],
    ['impl/iommufd/pages.ts', '../machine.ts', 'impl/iommufd may not import impl/machine.ts'],
    ['explore/random.ts', '../impl/dmabuf/resv.ts', 'explore may not import impl/dmabuf/resv.ts'],
    ['explore/random.ts', '../properties/agree.ts', 'explore may not import properties/agree.ts'],
    ['properties/agree.ts', '../cli/main.ts', 'properties may not import cli/main.ts'],
    ['trace/format.ts', '../model/spec.ts', 'trace may not import model/spec.ts'],
    ['cli/main.ts', '../test/helper.ts', 'cli may not import test/helper.ts'],
    ['bench/main.ts', '../cli/main.ts', 'bench may not import cli/main.ts'],
    ['vitest.config.ts', './cli/main.ts', 'the root may not import cli/main.ts'],
    ['elsewhere/new.ts', '../model/spec.ts', 'the root may not import model/spec.ts'],
  ])('%s cannot import %s', (path, specifier, what) => {
    expect(tidied({ [path]: `\nimport { a } from '${specifier}';\na();` })).toEqual([`${path}:2: ${what}`]);
  });

  test.each([
    ['an export from', "export { a } from '../impl/machine.ts';\nexport const b = 1;"],
    ['an export of everything from', "export * from '../impl/machine.ts';\nexport const b = 1;"],
    ['a dynamic import of', "const a = await import('../impl/machine.ts');"],
    ['a type out of', "type A = import('../impl/machine.ts').A;"],
    ['a type import of', "import type { A } from '../impl/machine.ts';\ntype B = A;"],
  ])('%s a forbidden file is an import too', (_, text) => {
    expect(tidied({ 'model/spec.ts': text })).toEqual(['model/spec.ts:1: model may not import impl/machine.ts']);
  });

  test.each(['model/spec.ts', 'impl/machine.ts', 'impl/kernel/thread.ts'])(
    '%s may take only types from trace',
    (path) => {
      const trace = `${'../'.repeat(path.split('/').length - 1)}trace/command.ts`;
      const files = (kind: string) => ({ [path]: `import ${kind} { C } from '${trace}';\nf(C);` });
      expect(tidied(files('type'))).toEqual([]);
      expect(tidied(files(''))).toEqual([
        expect.stringMatching(/^\S+:1: \S+ may import only types from trace\/command\.ts: `import type`$/),
      ]);
    },
  );

  test.each([
    ['impl/machine.ts', './vfio/pci-device.ts'],
    ['impl/vfio/pci-dmabuf.ts', '../iommufd/device.ts'],
    ['impl/iommufd/device.ts', '../vfio/pci-dmabuf.ts'],
    ['explore/random.ts', '../impl/kernel/thread.ts'],
    ['explore/random.ts', '../trace/format.ts'],
    ['properties/agree.ts', '../model/spec.ts'],
    ['test/unit/tidy.test.ts', '../../cli/tidy/rules.ts'],
    ['model/spec.ts', 'ts-pattern'],
  ])('%s may import %s', (path, specifier) => {
    expect(tidied({ [path]: `import { a } from '${specifier}';\na();` })).toEqual([]);
  });
});

describe('import cycles', () => {
  const three = (kind: string) => ({
    'trace/a.ts': "import { b } from './b.ts';\nexport const a = b;",
    'trace/b.ts': "import { c } from './c.ts';\nexport const b = c;",
    'trace/c.ts': `import ${kind} { a } from './a.ts';\nexport const c = 1 as a;`,
  });

  test('a cycle is told once, file by file', () => {
    expect(tidied(three(''))).toEqual([
      'trace/c.ts:1: import cycle: trace/a.ts → trace/b.ts → trace/c.ts → trace/a.ts',
    ]);
  });

  test('a file that imports itself is a cycle', () => {
    expect(tidied({ 'trace/a.ts': "import { a } from './a.ts';\nf(a);" })).toEqual([
      'trace/a.ts:1: import cycle: trace/a.ts → trace/a.ts',
    ]);
  });

  test('a cycle that only types close is none', () => {
    expect(tidied(three('type'))).toEqual([]);
  });
});

describe('missing yield*', () => {
  const lock = 'explore/lock.ts';
  const declarations = {
    [lock]: 'export function* lock() {}\nexport { lock as seize };\nexport const peek = () => 1;',
    'explore/device.ts': 'export class Device { *reset() {} *#drop() { this.#drop(); } size() { return 1; } }',
    'explore/timer.ts': 'export class Timer { reset() {} stop() { this.reset(); } }',
    'explore/alarm.ts': 'export class Alarm extends Timer { override reset() { super.reset(); } }',
    'explore/machine.ts': 'export interface Machine { readonly timer: Timer | Stopped }',
    'explore/ops.ts': 'export interface Ops { attach(): Thread; readonly detach: (n: number) => Thread<void>; }',
  };
  const own = 'explore/device.ts:1: this.#drop() is a generator and nothing runs it: `yield* this.#drop()`';
  const from = (name: string, text: string) =>
    tidied({ ...declarations, 'explore/user.ts': `import ${name} from './lock.ts';\n${text}` });

  test.each([
    ['a discarded call', '{ lock }', 'lock();', 'lock'],
    ['a call under another name', '{ lock as grab }', 'grab();', 'grab'],
    ['a name the exporter changed', '{ seize }', 'seize();', 'seize'],
    ['a call through a namespace', '* as kernel', 'kernel.lock();', 'kernel.lock'],
    ['an awaited call', '{ lock }', 'await lock();', 'lock'],
    ['a guarded call', '{ lock }', 'ready && lock();', 'lock'],
    ['a call in one branch', '{ lock }', 'ready ? lock() : peek();', 'lock'],
    ['a call made void', '{ lock }', 'void lock();', 'lock'],
    ['a call of each', '{ lock }', 'locks.forEach((l) => lock(l));', 'lock'],
    ['a method', '{ peek }', 'device.reset();', 'device.reset'],
    ['a method of an interface', '{ peek }', 'ops.attach();', 'ops.attach'],
    ['a property that holds a function', '{ peek }', 'ops?.detach?.(1);', 'ops.detach'],
    ['a method behind a property', '{ peek }', 'a.b.reset();', 'a.b.reset'],
    [
      'a method of a subclass',
      '{ peek }',
      'class Disk extends Device {} const disk = new Disk(); disk.reset();',
      'disk.reset',
    ],
    ['a method of the superclass', '{ peek }', 'class Disk extends Device { off() { super.reset(); } }', 'super.reset'],
    ['a generator of the same file', '{ peek }', 'const own = function* () {}; own();', 'own'],
    ['a function that returns a thread', '{ peek }', 'const own = (): Thread => thread; own();', 'own'],
    ['a parameter that makes threads', '{ peek }', 'export const run = (body: () => Thread) => { body(); };', 'body'],
  ])('%s is found', (_, name, text, called) => {
    expect(from(name, text)).toEqual([
      own,
      `explore/user.ts:2: ${called}() is a generator and nothing runs it: \`yield* ${called}()\``,
    ]);
  });

  test('a yield without its star is found', () => {
    expect(from('{ lock }', 'function* f() {\n  const x = yield lock();\n}')).toEqual([
      own,
      'explore/user.ts:3: `yield lock()` hands over a generator as if it were a wait point: `yield* lock()`',
    ]);
  });

  test.each([
    ['yield*', 'function* f() { yield* lock(); }'],
    ['an argument', 'drain(lock());'],
    ['an assignment', 'const thread = lock();'],
    ['a return', 'export const start = () => lock();'],
    ['an array of threads', 'interleave([lock(), device.reset()]);'],
    ['a condition', 'lock() && go();'],
    ['a map over arguments', 'const threads = locks.map((l) => lock(l));'],
    ['an ordinary function', 'peek();'],
    ['an ordinary method', 'device.size();'],
    ['a method of another class', 'const timer = new Timer(); timer.reset(); use({ timer }).timer.reset();'],
    ['a method of a property with a type', 'f(({ timer }: Machine) => { timer?.reset(); });'],
    ['a method inherited from another class', 'class Egg extends Timer {}\nconst egg = new Egg();\negg.reset();'],
    ['a method of a built-in class', 'const all = new Set(); all.reset();'],
    ['a lock that is yielded', 'function* f() { yield device.mutex; }'],
  ])('%s runs the generator or hands it on', (_, text) => {
    expect(from('{ lock, peek }', text)).toEqual([own]);
  });
});

describe('left-overs', () => {
  test.each([
    ['impl/a.ts', '// TODO: later', 'TODO left in a comment'],
    ['impl/a.ts', '/* a\n FIXME */', 'FIXME left in a comment'],
    ['impl/a.ts', 'console.log(1);', '`console.log` outside cli/, bench/ and test/properties/'],
    ['test/a.test.ts', 'console.log(1);', '`console.log` outside cli/, bench/ and test/properties/'],
    ['impl/a.ts', 'debugger;', '`debugger` left behind'],
    ['test/a.test.ts', "test.only('x', f);", '`.only` left in a test'],
    ['test/a.test.ts', "describe.skip('x', f);", '`.skip` left in a test'],
    ['test/a.test.ts', "test.concurrent.only('x', f);", '`.only` left in a test'],
    ['test/a.test.ts', "test.skip.each([1])('x', f);", '`.skip` left in a test'],
    ['impl/a.ts', 'let x: any;', '`any` switches the types off: `unknown`, or the type itself'],
    ['impl/a.ts', 'export default 1;', 'default export'],
    ['impl/a.ts', "export * from './b.ts';", 'barrel file: import from where things are declared'],
    ['impl/a.ts', "import { b } from './b.ts';\nexport { b };", 'barrel file: import from where things are declared'],
    ['impl/a.ts', 'let = ;', expect.stringContaining('does not parse')],
  ])('%s with `%s` is found', (path, text, what) => {
    const found = tidied({ [path]: text });
    expect(found.map((line) => line.slice(`${path}:1: `.length))).toEqual([what]);
    expect(found[0]).toContain(`${path}:1: `);
  });

  test.each([
    ['cli/main.ts', 'console.log(1);'],
    ['bench/main.ts', 'console.log(1);'],
    ['vitest.config.ts', 'export default {};'],
    ['impl/a.ts', "const note = 'TODO'; stack.skip(1);"],
    ['test/a.test.ts', "test.each([1])('only', f); queue.skip();"],
    ['README.md', 'TODO'],
  ])('%s may hold `%s`', (path, text) => {
    expect(tidied({ [path]: text })).toEqual([]);
  });

  test.each([
    ['session', ' of'],
    ['sub', 'agent'],
    ['/wo', 'rk/'],
    ['Clau', 'de'],
  ])('%s%s is found anywhere', (a, b) => {
    expect(tidied({ 'README.md': `# Title\n\nA ${a}${b} here.` })).toEqual([
      `README.md:3: \`${a}${b}\` does not belong in this repository`,
    ]);
  });
});

describe('sizes', () => {
  test.each([
    ['model/spec.ts', 149],
    ['model/invariants.ts', 119],
    ['impl/iommufd/pages.ts', 250],
    ['test/unit/pages.test.ts', 250],
  ])('%s may have %i lines of code and not one more', (path, most) => {
    const comments = '\n// why\n/*\n * how\n */\n';
    expect(tidied({ [path]: comments + linesOfCode(most) })).toEqual([]);
    expect(tidied({ [path]: linesOfCode(most + 1) })).toEqual([
      `${path}:1: ${most + 1} lines of code where ${most} are allowed`,
    ]);
  });

  test('the rules of the model may have 830 lines of code in all, and its smaller steps 870', () => {
    const files = (name: string, last: number) =>
      Object.fromEntries(
        [116, 116, 116, 116, 116, 116, 116, last].map((lines, i) => [`model/${name}${i}.ts`, linesOfCode(lines)]),
      );
    expect(tidied(files('m', 18))).toEqual([]);
    expect(tidied(files('m', 19))).toEqual(['model:1: 831 lines of code in all where 830 are allowed']);
    expect(tidied(files('parts-a', 58))).toEqual([]);
    expect(tidied(files('parts-a', 59))).toEqual(['model:1: 871 lines of code in smaller steps where 870 are allowed']);
  });

  test('a line may be 120 columns wide', () => {
    expect(tidied({ 'impl/a.ts': `// ${'x'.repeat(117)}` })).toEqual([]);
    expect(tidied({ 'impl/a.ts': `\n// ${'x'.repeat(118)}` })).toEqual([
      'impl/a.ts:2: 121 columns wide where 120 are allowed',
    ]);
  });
});

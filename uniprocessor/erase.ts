/**
 * Makes of a source text the same one for a machine with one processor, where nobody else holds what is wanted: each
 * generator that is a Thread becomes a plain function, `yield* f()` a call of `f`, and `yield lock` a call of `take`,
 * which `drain` calls otherwise. Every line stays where it is, and so does all but the end of a `yield` in its line. It
 * goes by the marks alone, which is quick, and past comments, strings and the like; `cli/tidy/erasure.ts` holds what
 * becomes of each file against what the parser says.
 */

/** What holds no code: comments, strings, templates, regular expressions. */
const OPAQUE = [
  /\/\/.*|\/\*[\s\S]*?\*\//,
  /'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"/,
  /`(?:\\[\s\S]|\$\{(?:[^{}`]|`[^`]*`|\{[^{}]*\})*\}|[^`\\])*`/,
  /(?<=(?:[(,=:[!&|?{};>]|\breturn)\s*)\/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n])+\//,
];
/** `yield`, with its star or without; the star of a function or, where a line begins with it, of a method. */
const MARK = anyOf(/(?<![.\w$#])yield\b\*?/, /\bfunction\*/, /(?<=^ *(?:(?:static|override|async) )*)\*(?=[\w#$[])/);
const BRACKET = anyOf(/[()[\]{};]/);
/** Where parameters end, and what is declared to be returned. */
const RETURNS = /\)\s*(?::\s*(\w+)[^{]*)?\{/g;

function anyOf(...marks: readonly RegExp[]): RegExp {
  return new RegExp([...OPAQUE, ...marks].map(({ source }) => source).join('|'), 'gm');
}

/** `threads` is the module that `take` comes from. Throws a SyntaxError for a form that it does not know. */
export function erase(text: string, threads: string): string {
  const edits: { readonly at: number; readonly length: number; readonly by: string }[] = [];
  const replace = (at: number, length: number, by: string): number => edits.push({ at, length, by });
  const refuse = (at: number, why: string): never => {
    throw new SyntaxError(`line ${text.slice(0, at).split('\n').length}: ${why}`);
  };
  let takes = false;
  MARK.lastIndex = 0;
  for (let mark = MARK.exec(text); mark !== null; mark = MARK.exec(text)) {
    const [what] = mark;
    const at = mark.index;
    if (what === 'yield*') {
      replace(at, 6, ' '.repeat(6));
    } else if (what === 'yield') {
      const end = endOf(text, at + 5, ';');
      if (text[end] !== ';' || text.slice(at + 5, end).trim() === '')
        refuse(at, 'a `yield` has something to wait for, and ends its statement');
      replace(at, 5, 'take(');
      replace(end, 0, ')');
      takes = true;
    } else if (what === 'function*' || what === '*') {
      RETURNS.lastIndex = at;
      const returns = RETURNS.exec(text);
      const type = returns?.[1] ?? refuse(at, 'a generator says what it is, a Thread or another');
      if (type === 'Thread') replace(at + what.length - 1, 1, ' ');
      // What is no Thread stays as it is, to the end of its body.
      else MARK.lastIndex = endOf(text, RETURNS.lastIndex, '}') + 1;
    }
  }
  let [erased, done] = ['', 0];
  for (const { at, length, by } of edits.sort((a, b) => a.at - b.at)) {
    erased += text.slice(done, at) + by;
    done = at + length;
  }
  // At the end, where it moves nothing.
  return `${erased}${text.slice(done)}${takes ? `import { take } from '${threads}';\n` : ''}`;
}

/** Where the statement, or the block, ends that goes on at `from`; or where a bracket closes that was open before. */
function endOf(text: string, from: number, by: ';' | '}'): number {
  let depth = 0;
  BRACKET.lastIndex = from;
  for (let mark = BRACKET.exec(text); mark !== null; mark = BRACKET.exec(text)) {
    const [what] = mark;
    if (what.length > 1) continue;
    if ('([{'.includes(what)) depth++;
    else if (what === ';' ? by === ';' && depth === 0 : depth-- === 0) return mark.index;
  }
  return text.length;
}

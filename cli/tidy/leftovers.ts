/** What was left lying about: notes to oneself, debugging, and habits this repository does not have. */
import { type Node, type Statement, traverseFast } from '@babel/types';
import type { Finding, Module, Source } from './source.ts';

// Spelt so that this file does not hold what it forbids.
const words = [/session[ ]of/i, /sub[-]?agent/i, /[/]work[/]/, /claud[e]/i];

/** Words that have no place in any file of the repository. */
export function forbiddenWords({ path, text }: Source): Finding[] {
  return text.split('\n').flatMap((content, i) =>
    words.flatMap((word) => {
      const found = word.exec(content);
      return found ? [{ path, line: i + 1, what: `\`${found[0]}\` does not belong in this repository` }] : [];
    }),
  );
}

/** Left-overs in code. */
export function leftOvers({ path, tree }: Module): Finding[] {
  const findings: Finding[] = [];
  const found = (node: { readonly loc?: Node['loc'] }, what: string) => {
    findings.push({ path, line: node.loc?.start.line ?? 1, what });
  };

  for (const comment of tree.comments ?? []) {
    const [note] = /\b(?:TODO|FIXME|XXX|HACK)\b/.exec(comment.value) ?? [];
    if (note) found(comment, `${note} left in a comment`);
  }
  traverseFast(tree, (node) => {
    if (node.type === 'DebuggerStatement') found(node, '`debugger` left behind');
    if (node.type === 'TSAnyKeyword') found(node, '`any` switches the types off: `unknown`, or the type itself');
    if (node.type === 'ExportDefaultDeclaration' && !/^[^/]+\.config\.ts$/.test(path)) found(node, 'default export');
    if (node.type !== 'MemberExpression') return;

    const [root, ...members] = memberNames(node);
    if (root === 'console' && members[0] === 'log' && !/^(?:cli|bench|test\/properties)\//.test(path)) {
      found(node, '`console.log` outside cli/, bench/ and test/properties/');
    }
    const last = members.at(-1) ?? '';
    if (path.startsWith('test/') && testing.has(root ?? '') && ['only', 'skip'].includes(last)) {
      found(node, `\`.${last}\` left in a test`);
    }
  });

  const { body } = tree.program;
  if (body.length > 0 && body.every(passesOn) && body.some((statement) => statement.type !== 'ImportDeclaration')) {
    found(body[0]!, 'barrel file: import from where things are declared');
  }
  return findings;
}

const testing: ReadonlySet<string> = new Set(['test', 'it', 'describe', 'suite', 'bench']);

/** An import, or an export that declares nothing. */
function passesOn(statement: Statement): boolean {
  if (statement.type === 'ExportNamedDeclaration') return !statement.declaration;
  return statement.type === 'ImportDeclaration' || statement.type === 'ExportAllDeclaration';
}

/** `['test', 'each', 'only']` of `test.each.only`; empty when it does not begin with a name. */
function memberNames(node: Node): string[] {
  if (node.type === 'Identifier') return [node.name];
  if (node.type !== 'MemberExpression' || node.property.type !== 'Identifier') return [];
  const before = memberNames(node.object);
  return before.length > 0 ? [...before, node.property.name] : [];
}

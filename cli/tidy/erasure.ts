/**
 * That what `uniprocessor/erase.ts` makes of the implementation, going by marks, is what the parser makes of it, going
 * by syntax: both texts are parsed, and what is to be erased is all that may be different.
 */
import { identifier, isNode, isNodesEquivalent, type Node, traverseFast, VISITOR_KEYS } from '@babel/types';
import { erase } from '../../uniprocessor/erase.ts';
import { returnsThread } from './delegation.ts';
import { type Finding, lineOf, type Module, parseModule } from './source.ts';

const THREADS = 'threads';

/** Files of impl/ that cannot be erased, or would mean something else. */
export function wrongErasures(modules: readonly Module[]): Finding[] {
  return modules.filter(({ path }) => path.startsWith('impl/')).flatMap((module) => wrongErasure(module) ?? []);
}

function wrongErasure({ path, text, tree }: Module): Finding | undefined {
  try {
    const after = parseModule({ path, text: erase(text, THREADS) }).tree.program.body;
    const { body } = tree.program;
    const wrong = body.find((each, i) => !isNodesEquivalent(erased(each), after[i]));
    if (wrong !== undefined) return { path, line: lineOf(wrong), what: 'is something else when it is erased' };
    const hides = after.length > body.length ? body.find(namesTake) : undefined;
    return hides && { path, line: lineOf(hides), what: 'has a `take` of its own, where a `yield` becomes one' };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { path, line: 1, what: `cannot be erased: ${error.message}` };
  }
}

/** The same by syntax. */
function erased<T extends Node>(node: T): Node {
  if ('generator' in node && node.generator === true && !returnsThread(node)) return node;
  const copy: Record<string, unknown> = { ...node };
  for (const key of VISITOR_KEYS[node.type] ?? []) {
    const child = copy[key];
    if (Array.isArray(child)) copy[key] = child.map((each: unknown) => (isNode(each) ? erased(each) : each));
    else if (isNode(child)) copy[key] = erased(child);
  }
  if (node.type === 'YieldExpression') {
    if (node.delegate) return copy['argument'] as Node;
    return { ...copy, type: 'CallExpression', callee: identifier('take'), arguments: [copy['argument']] } as Node;
  }
  if ('generator' in node) copy['generator'] = false;
  return copy as unknown as Node;
}

function namesTake(statement: Node): boolean {
  let found = false;
  traverseFast(statement, (node) => {
    found ||= node.type === 'Identifier' && node.name === 'take';
  });
  return found;
}

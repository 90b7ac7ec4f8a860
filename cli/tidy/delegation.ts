/**
 * Threads in impl/ are delegated to, or returned, where they are made, and nothing keeps one or catches what it throws.
 * Then a thread that is a plain function, as `uniprocessor/` makes it, does the same in the same order.
 */
import { type Function as Callable, isFunction, type Node, type TraversalAncestors, traverse } from '@babel/types';
import { generatorCalls } from './generators.ts';
import { keyName } from './names.ts';
import { type Finding, lineOf, type Module } from './source.ts';

/** They make threads for others to run. */
const drivers: ReadonlySet<string> = new Set(['impl/kernel/thread.ts drain', 'impl/machine.ts start']);

/** Threads that are kept, and what is caught or delegated to in another way than a call. */
export function keptThreads(modules: readonly Module[]): Finding[] {
  const impl = modules.filter(({ path }) => path.startsWith('impl/'));
  const kept = generatorCalls(modules).flatMap(({ path, node, ancestors, called, fate }): Finding[] => {
    const inQuestion = path.startsWith('impl/') && fate === 'used' && !isOfArrays(called);
    const why = inQuestion ? whyKept(path, ancestors) : undefined;
    return why === undefined ? [] : [{ path, line: lineOf(node), what: `the thread of ${called}() ${why}` }];
  });
  return [...kept, ...impl.flatMap(otherwise)];
}

/** Whether a function is declared to return a Thread. */
export function returnsThread(node: Node): boolean {
  const declared = 'returnType' in node ? node.returnType : undefined;
  if (declared?.type !== 'TSTypeAnnotation') return false;
  const { typeAnnotation: type } = declared;
  return type.type === 'TSTypeReference' && keyName(type.typeName) === 'Thread';
}

/** Of these names there are generators, too; an array's methods make none. */
const isOfArrays = (called: string): boolean => (called.split('.').at(-1) ?? '') in Array.prototype;

/** What is wrong with where a thread is made; undefined for nothing. */
function whyKept(path: string, ancestors: TraversalAncestors): string | undefined {
  const around = ancestors.toReversed();
  const user = around.findIndex(({ node, key }) => !passesOn(node, key));
  const { node, key } = around[user] ?? {};
  if (node?.type === 'YieldExpression') return undefined;
  const maker = around.slice(user).findIndex((each) => isFunction(each.node)) + user;
  const within = around[maker]?.node as Callable | undefined;
  if (within !== undefined && drivers.has(`${path} ${nameOf(within)}`)) return undefined;
  const returned = node?.type === 'ReturnStatement' || (node?.type === 'ArrowFunctionExpression' && key === 'body');
  if (!returned || within === undefined || within.generator === true)
    return 'is kept: `yield*` it, or return it from a plain function';
  if (around.slice(user, maker).some((each) => each.node.type === 'TryStatement'))
    return 'is returned out of a `try`, which is over before it runs';
  const parent = around[maker + 1]?.node;
  if (returnsThread(within) || isHandedOver(within, parent)) return undefined;
  return 'is returned by what does not say so: declare that it returns a Thread';
}

function passesOn(node: Node, key: string): boolean {
  if (node.type === 'ConditionalExpression') return key !== 'test';
  return node.type === 'TSAsExpression' || node.type === 'TSNonNullExpression' || node.type === 'TSSatisfiesExpression';
}

/** Whether whoever takes the function says that it makes a thread. The methods of arrays keep what it makes. */
function isHandedOver(made: Callable, parent: Node | undefined): boolean {
  if (made.type !== 'ArrowFunctionExpression') return false;
  if (parent?.type === 'ObjectProperty' || parent?.type === 'NewExpression') return true;
  if (parent?.type !== 'CallExpression') return false;
  const to = parent.callee.type === 'MemberExpression' ? keyName(parent.callee.property) : undefined;
  return to === undefined || to === 'push' || !isOfArrays(to);
}

function nameOf(made: Callable): string | undefined {
  const name = 'key' in made ? made.key : 'id' in made ? made.id : undefined;
  return name ? keyName(name) : undefined;
}

function otherwise({ path, tree }: Module): Finding[] {
  const findings: Finding[] = [];
  traverse(tree, (node, ancestors) => {
    const found = (what: string): number => findings.push({ path, line: lineOf(node), what });
    if (node.type === 'YieldExpression' && node.delegate && node.argument?.type !== 'CallExpression')
      found('`yield*` stands before the call that makes the thread');
    if (node.type !== 'CatchClause') return;
    const within = ancestors.findLast((each) => isFunction(each.node))?.node as Callable | undefined;
    if (within?.generator === true) found('a thread that catches would catch that it waits for ever');
  });
  return findings;
}

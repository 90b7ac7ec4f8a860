/**
 * Finds generators that are called and never run: `f()` for `yield* f()` compiles and silently does nothing. Functions
 * are followed through imports. A method goes by its name, unless its receiver is known to be of a type where that name
 * is no generator. In doubt a call is reported: declare the receiver's type, or choose another name.
 */
import { type Node, type TraversalAncestors, traverse } from '@babel/types';
import { keyName, type Members, membersOf, type Name, ownerOf, scopeOf } from './names.ts';
import { type Finding, lineOf, type Module } from './source.ts';

/** A method call: in a file, within a class or interface, on a receiver by the last of its names. */
interface Called {
  readonly path: string;
  readonly owner: string;
  readonly receiver: string;
  readonly method: string;
}

/** A call of a generator, or of what is declared to return one; by name, and where. */
export interface GeneratorCall {
  readonly path: string;
  readonly node: Node;
  readonly ancestors: TraversalAncestors;
  readonly called: string;
  readonly fate: Fate;
}

/** Calls of generators whose result is dropped, or yielded where `yield*` was meant. */
export function forgottenYields(modules: readonly Module[]): Finding[] {
  return generatorCalls(modules).flatMap(({ path, node, fate, called }) => {
    if (fate === 'used') return [];
    const what = {
      dropped: `${called}() is a generator and nothing runs it: \`yield* ${called}()\``,
      yielded: `\`yield ${called}()\` hands over a generator as if it were a wait point: \`yield* ${called}()\``,
    }[fate];
    return [{ path, line: lineOf(node), what }];
  });
}

/** All calls of generators. */
export function generatorCalls(modules: readonly Module[]): GeneratorCall[] {
  const scopes = new Map(modules.map((module) => [module.path, scopeOf(module)]));
  const members = membersOf(modules);

  const isGenerator = ({ path, name }: Name): boolean => {
    const scope = scopes.get(path);
    const alias = scope?.aliases.get(name);
    return scope?.generators.has(name) === true || (alias !== undefined && isGenerator(alias));
  };

  return modules.flatMap(({ path, tree }) => {
    const calls: GeneratorCall[] = [];
    traverse(tree, (node, ancestors) => {
      if (node.type !== 'CallExpression' && node.type !== 'OptionalCallExpression') return;
      const called = dotted(node.callee);
      const [name, receiver] = called.split('.').toReversed() as [string, string?];
      const namespace = receiver === undefined ? undefined : scopes.get(path)?.aliases.get(receiver);
      const found =
        receiver === undefined || namespace?.name === '*'
          ? isGenerator({ path: namespace?.path ?? path, name })
          : isGeneratorMethod(members, { path, owner: ownerOf(ancestors), receiver, method: name });
      if (found) calls.push({ path, node, ancestors: [...ancestors], called, fate: fateOf(ancestors) });
    });
    return calls;
  });
}

/** Whether `receiver.method()` may be a generator: on a type that the receiver may have or, in doubt, on any. */
function isGeneratorMethod(members: Members, called: Called): boolean {
  const { method, receiver, owner, path } = called;
  const declared = members.methods.get(method) ?? new Map<string, boolean>();
  const inherited = (type: string): boolean | undefined =>
    declared.get(type) ?? fromParents(type) ?? (type in globalThis ? false : undefined);
  const fromParents = (type: string): boolean | undefined =>
    members.parents
      .get(type)
      ?.map(inherited)
      .find((answer) => answer !== undefined);

  if (receiver === 'this') return inherited(owner) ?? false;
  if (receiver === 'super') return fromParents(owner) ?? false;
  const byPath = members.typesOf.get(receiver);
  const types = byPath?.get(path) ?? [...(byPath?.values() ?? [])].flat();
  const answers = types.map(inherited).filter((answer) => answer !== undefined);
  return (answers.length > 0 ? answers : [...declared.values()]).includes(true);
}

/** Whether the value of an expression is used, dropped, or yielded without the star. */
type Fate = 'used' | 'dropped' | 'yielded';

function fateOf(ancestors: TraversalAncestors): Fate {
  for (const [i, { node, key }] of ancestors.toReversed().entries()) {
    switch (node.type) {
      case 'ExpressionStatement':
        return 'dropped';
      case 'YieldExpression':
        return node.delegate ? 'used' : 'yielded';
      case 'ArrowFunctionExpression': {
        // `each.forEach((x) => f(x))` drops what the arrow returns.
        const caller = ancestors.at(-i - 2)?.node;
        return key === 'body' && caller?.type === 'CallExpression' && dotted(caller.callee).endsWith('.forEach')
          ? 'dropped'
          : 'used';
      }
      case 'ConditionalExpression':
      case 'LogicalExpression':
        if (key === 'test' || key === 'left') return 'used';
        break;
      case 'UnaryExpression':
      case 'SequenceExpression':
      case 'AwaitExpression':
      case 'TSNonNullExpression':
      case 'TSAsExpression':
      case 'TSSatisfiesExpression':
        break;
      default:
        return 'used';
    }
  }
  return 'used';
}

/** `a.b.#c` as it is written; what is no name is `…`. */
function dotted(node: Node): string {
  if (node.type === 'ThisExpression') return 'this';
  if (node.type === 'Super') return 'super';
  if (node.type !== 'MemberExpression' && node.type !== 'OptionalMemberExpression') return keyName(node) ?? '…';
  return `${dotted(node.object)}.${node.computed ? '…' : (keyName(node.property) ?? '…')}`;
}

/** What the names of the repository stand for, as far as finding generators needs it: no types are computed. */
import { type Node, type TraversalAncestors, traverse, traverseFast } from '@babel/types';
import { type Module, resolveImport } from './source.ts';

/** A name somewhere in the repository; `*` is all that a module exports. */
export interface Name {
  readonly path: string;
  readonly name: string;
}

/** What one module knows: names of its own generators, and its other names for names that may be generators. */
export interface Scope {
  readonly generators: ReadonlySet<string>;
  readonly aliases: ReadonlyMap<string, Name>;
}

/** What classes and interfaces declare. Two of the same name are taken for one. */
export interface Members {
  /** Method → class → whether it is a generator there. */
  readonly methods: Map<string, Map<string, boolean>>;
  /** Class → those it extends. */
  readonly parents: Map<string, string[]>;
  /** Variable, parameter or property → file → the types declared there for that name. */
  readonly typesOf: Map<string, Map<string, string[]>>;
}

/** The functions of one module, and the names under which it imports or exports functions. */
export function scopeOf({ path, tree }: Module): Scope {
  const generators = new Set<string>();
  const aliases = new Map<string, Name>();
  traverseFast(tree, (node) => {
    switch (node.type) {
      case 'FunctionDeclaration':
      case 'TSDeclareFunction':
        if (node.id && makesGenerator(node)) generators.add(node.id.name);
        break;
      case 'VariableDeclarator':
        if (node.id.type === 'Identifier' && makesGenerator(node.init)) generators.add(node.id.name);
        break;
      case 'Identifier': // A parameter or variable, by the type it is declared with.
        if (makesGenerator(node.typeAnnotation)) generators.add(node.name);
        break;
      case 'ImportDeclaration':
      case 'ExportNamedDeclaration': {
        const from = node.source ? resolveImport(path, node.source.value) : path;
        if (from === undefined) break;
        for (const specifier of node.specifiers) {
          if (specifier.type === 'ImportNamespaceSpecifier') {
            aliases.set(specifier.local.name, { path: from, name: '*' });
          } else if (specifier.type === 'ImportSpecifier') {
            aliases.set(specifier.local.name, { path: from, name: keyName(specifier.imported)! });
          } else if (specifier.type === 'ExportSpecifier') {
            const [local, exported] = [keyName(specifier.local)!, keyName(specifier.exported)!];
            if (node.source || local !== exported) aliases.set(exported, { path: from, name: local });
          }
        }
        break;
      }
    }
  });
  return { generators, aliases };
}

/** The methods, and properties that hold functions, of all classes and interfaces. */
export function membersOf(modules: readonly Module[]): Members {
  const methods: Members['methods'] = new Map();
  const parents: Members['parents'] = new Map();
  const typesOf: Members['typesOf'] = new Map();

  const see = (path: string, node: Node, ancestors: TraversalAncestors) => {
    if (node.type === 'ClassDeclaration' && node.id) parents.set(node.id.name, namesOf([node.superClass]));
    if (node.type === 'TSInterfaceDeclaration') {
      parents.set(node.id.name, namesOf((node.extends ?? []).map(({ expression }) => expression)));
    }
    const name = nameDeclaredBy(node);
    if (name === undefined) return;
    const held = 'value' in node ? node.value : 'init' in node ? node.init : undefined;
    const declared = 'typeAnnotation' in node ? node.typeAnnotation : undefined;
    const types = [...typeNames(declared), ...typeNames(held)];
    if (types.length > 0) {
      const byPath = entry(typesOf, name, () => new Map<string, string[]>());
      entry(byPath, path, (): string[] => []).push(...types);
    }
    if (!('key' in node)) return;
    const byOwner = entry(methods, name, () => new Map<string, boolean>());
    const owner = ownerOf(ancestors);
    byOwner.set(owner, byOwner.get(owner) === true || [node, held, declared].some(makesGenerator));
  };
  for (const { path, tree } of modules) traverse(tree, (node, ancestors) => see(path, node, ancestors));
  return { methods, parents, typesOf };
}

/** The class or interface around a node; empty in an object literal. */
export function ownerOf(ancestors: TraversalAncestors): string {
  for (const { node } of ancestors.toReversed()) {
    if (node.type === 'ObjectExpression') return '';
    if (owning.has(node.type) && 'id' in node && node.id) return keyName(node.id) ?? '';
  }
  return '';
}

const owning: ReadonlySet<string> = new Set(['ClassDeclaration', 'TSInterfaceDeclaration', 'TSTypeAliasDeclaration']);

/** The name of an identifier, `#name`, or string used as a key. */
export function keyName(key: Node): string | undefined {
  if (key.type === 'Identifier') return key.name;
  if (key.type === 'PrivateName') return `#${key.id.name}`;
  return key.type === 'StringLiteral' ? key.value : undefined;
}

/** What a declaration declares; an identifier may be a parameter. */
function nameDeclaredBy(node: Node): string | undefined {
  if (node.type === 'Identifier') return node.name;
  if (node.type === 'VariableDeclarator') return keyName(node.id);
  return 'key' in node && node.key && typeof node.key === 'object' ? keyName(node.key) : undefined;
}

/** What is declared to return a Thread or a Generator, and a generator function that is not just an Iterable. */
function makesGenerator(node: unknown): boolean {
  if (!isNode(node)) return false;
  if (node.type === 'TSTypeAnnotation') return makesGenerator(node.typeAnnotation);
  const returned = 'returnType' in node ? typeNames(node.returnType) : [];
  if ('generator' in node && node.generator) return !returned.includes('Iterable');
  return returned.some((name) => name === 'Thread' || name === 'Generator');
}

/** The types that an annotation names, or the class that an expression makes anew. */
function typeNames(node: unknown): string[] {
  if (!isNode(node)) return [];
  if (node.type === 'TSTypeAnnotation') return typeNames(node.typeAnnotation);
  if (node.type === 'TSUnionType') return node.types.flatMap(typeNames);
  if (node.type === 'TSTypeReference') return namesOf([node.typeName]);
  return node.type === 'NewExpression' ? namesOf([node.callee]) : [];
}

const namesOf = (nodes: readonly unknown[]): string[] =>
  nodes.flatMap((node) => (isNode(node) && node.type === 'Identifier' ? [node.name] : []));

const isNode = (x: unknown): x is Node => typeof x === 'object' && x !== null && 'type' in x;

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

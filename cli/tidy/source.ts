/** What the tidy rules look at: files of the repository, and for code the syntax tree and the imports. */
import { posix } from 'node:path';
import { parse } from '@babel/parser';
import { type File, type Node, type StringLiteral, traverseFast } from '@babel/types';

/** A file; its path starts at the root of the repository and is written with `/`. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** An import or re-export of another file of ours; `typeOnly` when nothing of it is left at run time. */
export interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
  readonly line: number;
}

/** A source file that parses. */
export interface Module extends Source {
  readonly tree: File;
  readonly imports: readonly Import[];
}

/** One thing that is not as it should be. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly what: string;
}

export const isCode = ({ path }: Source): boolean => /\.[cm]?[jt]s$/.test(path);

/** Parses one file. Throws a SyntaxError that carries `loc`. */
export function parseModule({ path, text }: Source): Module {
  const tree = parse(text, { sourceType: 'module', plugins: ['typescript'], attachComment: false });
  return { path, text, tree, imports: importsIn(path, tree) };
}

/** The file that a relative import names; undefined for a package. */
export function resolveImport(from: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : undefined;
}

/** The line that a node begins on. */
export const lineOf = (node: Node): number => node.loc?.start.line ?? 1;

function importsIn(path: string, tree: File): Import[] {
  const imports: Import[] = [];
  const add = (source: StringLiteral, typeOnly: boolean) => {
    const target = resolveImport(path, source.value);
    if (target !== undefined) imports.push({ target, typeOnly, line: lineOf(source) });
  };
  traverseFast(tree, (node) => {
    if (node.type === 'ImportDeclaration') add(node.source, node.importKind === 'type');
    else if (node.type === 'ExportAllDeclaration') add(node.source, node.exportKind === 'type');
    else if (node.type === 'ExportNamedDeclaration' && node.source) add(node.source, node.exportKind === 'type');
    else if (node.type === 'ImportExpression' && node.source.type === 'StringLiteral') add(node.source, false);
    else if (node.type === 'TSImportType') add(node.source, true);
  });
  return imports;
}

/**
 * What callgrind and the engine write of a process. Compiled functions have no names in the first, but addresses, which
 * the second tells the names of.
 */
import { readFileSync } from 'node:fs';

/** The instructions of each function itself, without those that it calls; each by its name, or its address. */
export function instructionsOf(file: string): Map<string, number> {
  const names = new Map<string, string>();
  const found = new Map<string, number>();
  let current = '';
  let called = false;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, id, name] = /^fn=(\(\d+\))(?: (.*))?$/.exec(line) ?? [];
    if (id !== undefined) {
      if (name !== undefined) names.set(id, name);
      current = names.get(id) ?? id;
    } else if (line.startsWith('calls=')) {
      called = true; // The next line is what the called function took.
    } else if (/^[\d+*-]/.test(line)) {
      const cost = Number(line.slice(line.lastIndexOf(' ') + 1));
      if (!called) found.set(current, (found.get(current) ?? 0) + cost);
      called = false;
    } else {
      // A function that is only called may be named here first.
      const [, its, another] = /^cfn=(\(\d+\)) (.*)$/.exec(line) ?? [];
      if (its !== undefined && another !== undefined) names.set(its, another);
    }
  }
  return found;
}

interface Code {
  readonly from: number;
  readonly end: number;
  readonly name: string;
}

/** The names of compiled functions, by any address in them; of several that lay there one after the other the last. */
export class CodeMap {
  /** By the page of memory. */
  readonly #pages = new Map<number, Code[]>();

  constructor(file: string) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const [, start, size, name] = /^([\da-f]+) ([\da-f]+) (.*)$/.exec(line) ?? [];
      if (start === undefined || size === undefined || name === undefined) continue;
      const from = Number.parseInt(start, 16);
      const code = { from, end: from + Number.parseInt(size, 16), name };
      for (let page = pageOf(from); page <= pageOf(code.end); page++) {
        const there = this.#pages.get(page);
        if (there === undefined) this.#pages.set(page, [code]);
        else there.push(code);
      }
    }
  }

  at(address: number): string | undefined {
    return this.#pages.get(pageOf(address))?.findLast(({ from, end }) => from <= address && address < end)?.name;
  }
}

const pageOf = (address: number): number => Math.floor(address / 4096);

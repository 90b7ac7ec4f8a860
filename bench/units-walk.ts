/** The walk of a page table of four levels, 512 entries each: in plain numbers, masked or with `%`, and in bigints. */
import type { Competitor } from './rounds.ts';

const COUNT = 1024;
const LEVELS = 4;
const ENTRIES = 512;

interface Table<Entry> {
  readonly entries: Entry[];
  readonly children: (Table<Entry> | undefined)[];
}

const SPANS = [1, 2 ** 9, 2 ** 18, 2 ** 27];
const SHIFTS = [0n, 9n, 18n, 27n];

/** Walks of the same tables for the same page numbers; they must find the same. */
export function walks(): readonly Competitor[] {
  const pages = Array.from({ length: COUNT }, (_, i) => 2 ** 34 + ((i * 389) % COUNT) * 3);
  const [numbers, bigints] = [empty(0), empty(0n)];
  for (const page of pages) {
    enter(numbers, page, page + 7, 0);
    enter(bigints, page, BigInt(page + 7), 0n);
  }
  const exact = pages.map(BigInt);
  for (const [i, page] of pages.entries()) {
    const found = walkNumbers(numbers, page);
    const same = found === walkRemainders(numbers, page) && BigInt(found) === walkBigints(bigints, exact[i] as bigint);
    if (!same) throw new Error('the walks differ');
  }
  let sum = 0;
  let exactSum = 0n;
  return [
    {
      name: 'plain numbers',
      run: () => {
        for (let i = 0; i < COUNT; i++) sum += walkNumbers(numbers, pages[i]!);
        return sum < 0 ? 0 : COUNT;
      },
    },
    {
      name: 'plain numbers, with %',
      run: () => {
        for (let i = 0; i < COUNT; i++) sum += walkRemainders(numbers, pages[i]!);
        return sum < 0 ? 0 : COUNT;
      },
    },
    {
      name: 'bigint',
      run: () => {
        for (let i = 0; i < COUNT; i++) exactSum ^= walkBigints(bigints, exact[i]!);
        return exactSum < 0n ? 0 : COUNT;
      },
    },
  ];
}

function walkNumbers(root: Table<number>, page: number): number {
  let table = root;
  for (let level = LEVELS - 1; level > 0; level--) {
    const child = table.children[(page / SPANS[level]!) & (ENTRIES - 1)];
    if (child === undefined) return 0;
    table = child;
  }
  return table.entries[page & (ENTRIES - 1)]!;
}

function walkRemainders(root: Table<number>, page: number): number {
  let table = root;
  for (let level = LEVELS - 1; level > 0; level--) {
    const child = table.children[Math.floor(page / SPANS[level]!) % ENTRIES];
    if (child === undefined) return 0;
    table = child;
  }
  return table.entries[page % ENTRIES]!;
}

function walkBigints(root: Table<bigint>, page: bigint): bigint {
  let table = root;
  for (let level = LEVELS - 1; level > 0; level--) {
    const child = table.children[Number((page >> SHIFTS[level]!) & 511n)];
    if (child === undefined) return 0n;
    table = child;
  }
  return table.entries[Number(page & 511n)]!;
}

const empty = <Entry>(nothing: Entry): Table<Entry> => ({
  entries: new Array<Entry>(ENTRIES).fill(nothing),
  children: new Array<Table<Entry> | undefined>(ENTRIES).fill(undefined),
});

function enter<Entry>(root: Table<Entry>, page: number, entry: Entry, nothing: Entry): void {
  let table = root;
  for (let level = LEVELS - 1; level > 0; level--) {
    const index = Math.floor(page / SPANS[level]!) % ENTRIES;
    table.children[index] ??= empty(nothing);
    table = table.children[index] as Table<Entry>;
  }
  table.entries[page % ENTRIES] = entry;
}

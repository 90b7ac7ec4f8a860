/** What processes have mapped of files, of which the CPU may have reached nothing yet. */
import { hex, PAGE_SIZE, pagesOf } from '../../impl/kernel/units.ts';
import type { Machine, Named } from '../../impl/machine.ts';
import { mapOf } from '../../model/observe.ts';
import type { Mapping } from '../../model/spec.ts';
import type { Handle } from '../../trace/command.ts';
import type { World } from '../world.ts';

/** Mappings that one world has and the other has not, a line each. */
export function wrongMappings({ machine, state }: World): string[] {
  const expected = state.mappings.flatMap(promised);
  const found = mapped(machine);
  return [
    ...expected.filter((page) => !found.includes(page)).map((page) => `${page} should be mapped`),
    ...found.filter((page) => !expected.includes(page)).map((page) => `${page} is mapped, and should not be`),
  ];
}

/** Each page that is left, by the mapping's name. */
const promised = ({ name, process, left }: Mapping): string[] =>
  left.flatMap(([first, last]) =>
    pages(mapOf(name, process), Number(first) / PAGE_SIZE, Number(last + 1n) / PAGE_SIZE),
  );

const pages = (map: string, first: number, end: number): string[] =>
  Array.from(
    { length: Math.ceil(end) - Math.floor(first) },
    (_, i) => `${map}+${hex((Math.floor(first) + i) * PAGE_SIZE)}`,
  );

function mapped(machine: Machine): string[] {
  const own = mappedIn(machine.names, machine.mm, undefined);
  const children = [...machine.children].flatMap(([name, { process, mems }]) => mappedIn(mems, process.mm, name));
  return [...own, ...children];
}

function mappedIn(names: ReadonlyMap<Handle, Named>, mm: Machine['mm'], process: Handle | undefined): string[] {
  const found: string[] = [];
  for (const [name, named] of names) {
    if (named.kind !== 'mem') continue;
    const { page } = named.address;
    for (const { startPage, npages, file } of mm.overlapping(page, page + pagesOf(named.length) - 1)) {
      if (file !== undefined) found.push(...pages(mapOf(name, process), startPage - page, startPage - page + npages));
    }
  }
  return found;
}

/** Programs with fewer commands. Whatever uses what nothing gives any more goes along. */
import type { Command, Handle } from '../../trace/command.ts';
import { gives, uses } from '../../trace/names.ts';
import type { Program } from '../concurrent/program.ts';

export const commandsOf = ({ prefix, branches }: Program): Command[] => [...prefix, ...branches.flat()];

/** The program with every command as `change` has it. */
export const each = ({ prefix, branches, ...on }: Program, change: (command: Command) => Command): Program => ({
  ...on,
  prefix: prefix.map(change),
  branches: branches.map((branch) => branch.map(change)),
});

/** A command with every argument as `change` has it, those in lists one by one; itself, when none is another. */
export function changed(command: Command, change: (value: unknown, key: string) => unknown): Command {
  const deep = (value: unknown, key: string): unknown => {
    if (!Array.isArray(value)) return change(value, key);
    const list = value.map((one) => deep(one, key));
    return list.every((one, i) => one === value[i]) ? value : list;
  };
  const entries = Object.entries(command).map(([key, value]) => [key, deep(value, key)] as const);
  const same = entries.every(([key, value]) => value === command[key as keyof Command]);
  return same ? command : (Object.fromEntries(entries) as unknown as Command);
}

/** Without one of them; the first take most along. */
export function* withoutOne(program: Program): Generator<Program> {
  for (const command of commandsOf(program)) yield without(program, [command]);
}

/** With the first command of a branch done before there are any. */
export function* withOneBefore({ prefix, branches, ...on }: Program): Generator<Program> {
  for (const [i, [first, ...rest]] of branches.entries()) {
    if (first === undefined) continue;
    const left = rest.length > 0 ? branches.with(i, rest) : branches.toSpliced(i, 1);
    yield { ...on, prefix: [...prefix, first], branches: left };
  }
}

/** A branch that has nothing left to do is none. */
export function without({ prefix, branches, ...on }: Program, commands: readonly Command[]): Program {
  const gone = new Set(commands);
  const lost = new Set<Handle>();
  const given = new Set<Handle>();
  const keep = (all: readonly Command[], given: Set<Handle>): Command[] =>
    all.filter((command) => {
      const names = gives(command).map(([, name]) => name);
      const stays = !gone.has(command) && uses(command).every(([, name]) => !lost.has(name) || given.has(name));
      for (const name of names) (stays ? given : lost).add(name);
      return stays;
    });
  const first = keep(prefix, given);
  const rest = branches.map((branch) => keep(branch, new Set(given)));
  return { ...on, prefix: first, branches: rest.filter(({ length }) => length > 0) };
}

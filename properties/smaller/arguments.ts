/** Programs that say the same with less: fewer things and no options. */
import type { Command, Handle } from '../../trace/command.ts';
import { gives, uses } from '../../trace/names.ts';
import type { Program } from '../concurrent/program.ts';
import { changed, commandsOf, each, without } from './commands.ts';

/** On a machine without a device that nobody names. */
export function* withoutDevice({ config, ...rest }: Program): Generator<Program> {
  for (const name of config.devices.keys()) {
    if (isNamed({ config, ...rest }, name)) continue;
    const devices = new Map(config.devices);
    devices.delete(name);
    yield { config: { ...config, devices }, ...rest };
  }
}

const isNamed = (program: Program, device: Handle): boolean =>
  commandsOf(program).some((command) => 'dev' in command && command.dev === device);

/** What was done to a second thing of a kind is done to the first. */
export function* withOneInstead(program: Program): Generator<Program> {
  const devices = [...program.config.devices.keys()].filter((device) => isNamed(program, device));
  for (const [i, device] of devices.entries()) {
    for (const first of devices.slice(0, i)) yield renamed(program, device, first);
  }
  const all = commandsOf(program);
  for (const [i, giver] of all.entries()) {
    for (const first of all.slice(0, i)) {
      if (first.do !== giver.do || !('as' in first) || !('as' in giver)) continue;
      const one = gives(giver).reduce((now, [key, name]) => renamed(now, name, nameAt(first, key)), program);
      yield without(one, [commandsOf(one)[i] as Command]);
    }
  }
}

const nameAt = (command: Command, key: string): Handle => command[key as keyof Command];

const renamed = (program: Program, from: Handle, to: Handle): Program =>
  each(program, (command) => changed(command, (value) => (value === from ? to : value)));

/** What a branch gives is called `a0`, and not `a0.2.1`, where nothing else is. */
export function* withShortNames(program: Program): Generator<Program> {
  const names = new Set(
    commandsOf(program)
      .flatMap((command) => [...gives(command), ...uses(command)])
      .map(([, name]) => name),
  );
  for (const name of names) {
    const [short = name] = name.split('.');
    if (!names.has(short)) yield renamed(program, name, short);
  }
}

/** A command does not say what it need not. */
export function* plainer(program: Program): Generator<Program> {
  for (const command of commandsOf(program)) {
    for (const plain of plainerThan(command)) yield each(program, (one) => (one === command ? plain : one));
  }
}

const OPTIONAL = ['flags', 'wakeup', 'process'] as const;

function* plainerThan(command: Command): Generator<Command> {
  for (const key of OPTIONAL) if (key in command) yield omit(command, key);
  if (command.do === 'munmap' && command.offset !== undefined) yield omit(omit(command, 'offset'), 'length');
  if ('prot' in command && command.prot !== 'rw') yield { ...command, prot: 'rw' };
  if ('ranges' in command && command.ranges.length > 1) {
    for (const i of command.ranges.keys()) yield { ...command, ranges: command.ranges.toSpliced(i, 1) } as Command;
  }
}

function omit(command: Command, key: string): Command {
  const { [key as keyof Command]: _, ...rest } = command;
  return rest as Command;
}

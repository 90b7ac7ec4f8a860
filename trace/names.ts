/**
 * The names of a trace: which step gave each, and whether it may be given again. A name counts as given even by a
 * step that failed, since using it then is legal; it is live only while its object surely exists.
 */
import type { Command, Handle } from './command.ts';
import type { MachineConfig } from './machine-config.ts';
import type { Step } from './trace.ts';

/** Who gave a name: the step, counted from 1, and the name whose object this one ends with. */
interface Given {
  readonly step: number;
  readonly within: Handle | undefined;
  readonly live: boolean;
}

/** An argument of a command that holds a name. */
export type Named = readonly [key: string, name: Handle];

const USES: ReadonlySet<string> = new Set([
  'ctx',
  'dev',
  'pt',
  'ioas',
  'obj',
  'fd',
  'mem',
  'map',
  'dst',
  'src',
  'process',
]);

/** The names that a command gives; a mock_domain names a HWPT and a device. */
export const gives = (command: Command): Named[] => [
  ...('as' in command ? [['as', command.as] as const] : []),
  ...(command.do === 'mock_domain' ? [['dev', command.dev] as const] : []),
];

/** The names that a command uses. */
export const uses = (command: Command): Named[] =>
  Object.entries(command).filter(
    (entry): entry is [string, Handle] => USES.has(entry[0]) && !(command.do === 'mock_domain' && entry[0] === 'dev'),
  );

export const succeeded = ({ result }: Step): boolean => result !== undefined && 'ok' in result;
const failed = ({ result }: Step): boolean => result !== undefined && 'err' in result;

export class Names {
  readonly machine: MachineConfig;
  readonly #given: Map<Handle, Given>;
  readonly #devices: Set<Handle>;

  constructor(machine: MachineConfig, before?: Names) {
    this.machine = machine;
    this.#given = new Map(before ? before.#given : []);
    this.#devices = new Set(before ? before.#devices : machine.devices.keys());
  }

  /** Did a step give this name? */
  has(name: Handle): boolean {
    return this.#given.has(name);
  }

  /** A device of the machine, or one that a mock_domain made. */
  hasDevice(name: Handle): boolean {
    return this.#devices.has(name);
  }

  /** The step that gave a name which surely still has its object. */
  liveSince(name: Handle): number | undefined {
    const given = this.#given.get(name);
    return given?.live ? given.step : undefined;
  }

  /** Takes note of what a step gives and ends. */
  pass(step: Step, number: number): void {
    const { command } = step;
    const ended = ends(command);
    if (ended !== undefined && !failed(step)) this.#end(ended);

    const live = succeeded(step);
    for (const [key, name] of gives(command)) {
      const within = command.do === 'mock_domain' && key === 'as' ? command.dev : owner(command);
      if (live || !this.#given.has(name)) this.#given.set(name, { step: number, within, live });
      if (key === 'dev') this.#devices.add(name);
    }
  }

  #end(name: Handle): void {
    const given = this.#given.get(name);
    if (!given?.live) return;
    this.#given.set(name, { ...given, live: false });
    for (const [inner, { within }] of this.#given) if (within === name) this.#end(inner);
  }
}

/** The name whose object a command ends. A device that is closed keeps its name: the machine gave it. */
function ends(command: Command): Handle | undefined {
  switch (command.do) {
    case 'iommufd_close':
      return command.ctx;
    case 'fd_close':
      return command.fd;
    case 'destroy':
      return command.obj;
    case 'munmap':
      return command.process === undefined ? command.map : undefined;
    case 'exit':
      return command.process;
    case 'mock_domain_destroy':
      return command.dev;
    default:
      return undefined;
  }
}

/** What a new object lives in: closing an iommufd ends every IOAS and HWPT in it. */
function owner(command: Command): Handle | undefined {
  switch (command.do) {
    case 'ioas_alloc':
      return command.ctx;
    case 'hwpt_alloc':
    case 'mock_domain':
      return command.ioas;
    default:
      return undefined;
  }
}

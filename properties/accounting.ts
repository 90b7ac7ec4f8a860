/**
 * The accounting oracle, from the document and nothing else: a pages object has pinned the set of pages that its areas
 * show in IOASes that have a domain, and whoever made it is charged for each of them once.
 *
 * Source: iommufd 1.4, 2.12
 */

import { ctxOfHandle } from '../impl/handles.ts';
import { setRlimitMode } from '../impl/iommufd/rlimit-mode.ts';
import { isErrno } from '../impl/kernel/errno.ts';
import type { User } from '../impl/kernel/process.ts';
import { drain, Task, type Thread } from '../impl/kernel/thread.ts';
import { fromBigint } from '../impl/kernel/units.ts';
import type { Area, Context, State } from '../model/spec.ts';
import type { Command, Handle } from '../trace/command.ts';
import { domainNames } from './changes.ts';
import type { World } from './world.ts';

const PAGE = 0x1000n;
const NO_LIMIT = (1n << 64n) - 1n;

/** A pages object of memory: which, and the counter that it is charged to, if any. */
interface Pages {
  readonly memory: string;
  readonly counter: string | undefined;
}

/** The pages of each pages object that are pinned. */
type Pinned = ReadonlyMap<Pages, ReadonlySet<bigint>>;

export class Accounting {
  readonly #world: World;
  readonly #users: readonly User[];
  /** What each area of memory shows; areas of buffers have none. */
  readonly #pagesOf = new WeakMap<Area, Pages>();
  /** The contexts that charge the process, and not its user. */
  readonly #chargesProcess = new Set<Context>();
  #limit = NO_LIMIT;
  /** How often a limit was met, and how often something was charged within one. */
  met = 0;
  kept = 0;

  constructor(world: World) {
    this.#world = world;
    this.#users = [...world.machine.users, world.machine.addUser('other')];
  }

  /** One time in four the process becomes another: its user, its limit, and whether it has one. */
  changeProcess(besides: number): void {
    if (besides % 4 !== 1) return;
    const { process } = this.#world.machine;
    const drawn = besides >> 2;
    process.user = this.#users[drawn % 2] as User;
    process.capIpcLock = (drawn >> 1) % 4 === 0;
    this.#setLimit((drawn >> 3) % 8 === 0 ? NO_LIMIT : BigInt((drawn >> 6) % 24) * PAGE + BigInt((drawn >> 12) % 2));
  }

  #setLimit(limit: bigint): void {
    this.#limit = limit;
    this.#world.machine.process.rlimitMemlock = fromBigint(limit);
  }

  /** The same without a limit. */
  unlimited<T>(act: () => T): T {
    const limit = this.#limit;
    this.#setLimit(NO_LIMIT);
    const result = act();
    this.#setLimit(limit);
    return result;
  }

  /** Whose are the areas that the step has made. A context that is new may charge the process from now on. */
  learn(before: State, command: Command): void {
    const { state } = this.#world;
    if (command.do === 'iommufd_open') this.#openContext(command.as);
    if (command.do === 'ioas_map' || command.do === 'ioas_map_file') {
      const { capIpcLock, user } = this.#world.machine.process;
      const charged = (context: Context): string => (this.#chargesProcess.has(context) ? 'mm' : `user ${user.name}`);
      for (const [area, context] of madeBetween(before, state)) {
        const { is, memory } = area.source;
        if (is === 'dmabuf') continue;
        this.#pagesOf.set(area, { memory, counter: capIpcLock ? undefined : charged(context) });
      }
    }
    if (command.do === 'ioas_copy') {
      const from = command.src_iova;
      const source = before.ioases.find(({ space }) => space === before.handles.get(command.src))?.areas ?? [];
      const copied = source.filter(({ iova, length }) => iova < from + command.length && from < iova + length);
      const made = madeBetween(before, state);
      for (const [at, [area]] of made.entries()) {
        const pages = this.#pagesOf.get(copied[at] as Area);
        if (pages !== undefined) this.#pagesOf.set(area, pages);
      }
    }
  }

  /** Every other context charges the process: it has no objects yet. */
  #openContext(name: Handle): void {
    const { machine, state } = this.#world;
    const ctx = ctxOfHandle(machine, name);
    const context = state.contexts.find((it) => it.name === name);
    if (isErrno(ctx) || context === undefined || this.#world.history.length % 2 === 0) return;
    const failed = inTask(this.#world, () => setRlimitMode(ctx, 0, fromBigint(1n)));
    if (failed === undefined) this.#chargesProcess.add(context);
  }

  #pinned({ ioases }: State): Pinned {
    const pinned = new Map<Pages, Set<bigint>>();
    for (const ioas of ioases) {
      if (domainNames(ioas).length === 0) continue;
      for (const area of ioas.areas) {
        const pages = this.#pagesOf.get(area);
        if (pages === undefined) continue;
        const set = pinned.get(pages) ?? new Set();
        pinned.set(pages, set);
        for (let page = area.offset / PAGE; page * PAGE < area.offset + area.length; page++) set.add(page);
      }
    }
    return pinned;
  }

  /** Whether the step had to meet the limit: it pinned more than there was room for, before it let go of anything. */
  wrongLimit(before: State, limited: boolean): string[] {
    const [had, has] = [this.#pinned(before), this.#pinned(this.#world.state)];
    const charged = charges(had);
    const gained = new Map<string, bigint>();
    for (const [pages, set] of has) {
      if (pages.counter === undefined) continue;
      const more = [...set].filter((page) => had.get(pages)?.has(page) !== true).length;
      if (more > 0) gained.set(pages.counter, (gained.get(pages.counter) ?? 0n) + BigInt(more));
    }
    const over = [...gained].filter(([counter, more]) => ((charged.get(counter) ?? 0n) + more) * PAGE > this.#limit);
    if (over.length > 0) this.met++;
    else if (gained.size > 0 && this.#limit !== NO_LIMIT) this.kept++;
    if (over.length > 0 === limited) return [];
    const asked = [...gained].map(
      ([counter, more]) => `${more} to ${counter}, which has ${charged.get(counter) ?? 0n}`,
    );
    const answer = limited ? 'it was refused' : 'it was granted';
    return [`the step charges ${asked.join(', ') || 'nothing'}; the limit is ${this.#limit} bytes; and ${answer}`];
  }

  /** What is pinned, and charged, and should not be; or the reverse. */
  wrong(): string[] {
    const { machine, state } = this.#world;
    const pinned = this.#pinned(state);
    const charged = charges(pinned);
    const wrong: string[] = [];
    const compare = (what: string, found: number, expected: bigint): void => {
      if (BigInt(found) !== expected) wrong.push(`${what} is ${found}, and should be ${expected}`);
    };
    for (const { name, lockedVm } of machine.users)
      compare(`locked_vm of user ${name}`, lockedVm, charged.get(`user ${name}`) ?? 0n);
    compare('locked_vm of the process', machine.mm.lockedVm, charged.get('mm') ?? 0n);
    compare(
      'pinned_vm of the process',
      machine.mm.pinnedVm,
      [...pinned.values()].reduce((n, { size }) => n + BigInt(size), 0n),
    );
    for (const backing of machine.ram.backings) {
      const sets = [...pinned].filter(([{ memory }]) => memory === backing.name).map(([, set]) => set);
      compare(
        `pins of ${backing.name}`,
        backing.pinned,
        sets.reduce((n, { size }) => n + BigInt(size), 0n),
      );
      for (const page of new Set(sets.flatMap((set) => [...set]))) {
        const pins = sets.filter((set) => set.has(page)).length;
        compare(`pins of page ${page} of ${backing.name}`, backing.pinsOf(Number(page)), BigInt(pins));
      }
    }
    return wrong;
  }
}

/** What each counter owes. */
function charges(pinned: Pinned): Map<string, bigint> {
  const charged = new Map<string, bigint>();
  for (const [{ counter }, { size }] of pinned) {
    if (counter !== undefined) charged.set(counter, (charged.get(counter) ?? 0n) + BigInt(size));
  }
  return charged;
}

/** The areas that a step has made, ascending, each with the context that it is in. */
function madeBetween(before: State, after: State): [Area, Context][] {
  const had = new Set(before.ioases.flatMap(({ areas }) => areas));
  return after.ioases.flatMap(({ space, areas }) =>
    areas.filter((area) => !had.has(area)).map((area): [Area, Context] => [area, space.context]),
  );
}

/** Kernel code that never waits, as a system call of the process. */
function inTask<T>({ machine }: World, work: () => T): T {
  return drain(new Task('property', machine.kernel), function* (): Thread<T> {
    return work();
  });
}

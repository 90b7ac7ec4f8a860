/**
 * The numbers of objects that calls under way have passed. A number is given out again once its object is gone, and
 * whoever passed it before that finds what has it then; the model knows objects and no numbers, and so cannot follow.
 *
 * Source: drivers/iommu/iommufd/main.c, iommufd_object_alloc() and iommufd_get_object()
 */
import type { IommufdObject } from '../../impl/iommufd/context.ts';
import { isFreed } from '../../impl/kernel/poison.ts';
import type { Machine } from '../../impl/machine.ts';
import type { Command, Handle } from '../../trace/command.ts';
import { showCommand } from '../../trace/show.ts';

interface Passed {
  readonly handle: Handle;
  readonly ctx: IommufdObject['ctx'];
  readonly id: number;
  /** How often it had been given out by then. */
  readonly given: number | undefined;
}

export class Numbers {
  readonly #machine: Machine;
  readonly #passed = new Map<Command, readonly Passed[]>();
  /** The first number that has come to name something else under a call, for a person. */
  reused: string | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** The call reads the numbers of all that it names. DESTROY looks its own up in the same step. */
  began(command: Command): void {
    if (command.do === 'destroy' || command.do === 'mock_domain_destroy') return;
    this.#passed.set(
      command,
      Object.values(command).flatMap((name) => this.#passedAs(name)),
    );
  }

  returned(command: Command): void {
    this.#passed.delete(command);
  }

  /** After every step. */
  look(): void {
    if (this.reused !== undefined) return;
    for (const [command, all] of this.#passed) {
      const it = all.find(isAnothers);
      if (it === undefined) continue;
      this.reused = `the number of ${it.handle}, ${it.id}, was given out again during: ${showCommand(command)}`;
    }
  }

  #passedAs(name: unknown): Passed[] {
    if (typeof name !== 'string') return [];
    const named = this.#machine.names.get(name);
    const objects = [named?.kind === 'object' ? named.object : undefined, this.#machine.dmaDevice(name)?.iommufdDevice];
    return objects.flatMap((object) => {
      if (object === undefined || isFreed(object) || isFreed(object.ctx) || !object.ctx.has(object)) return [];
      return [{ handle: name, ctx: object.ctx, id: object.id, given: object.ctx.given[object.id] }];
    });
  }
}

/** A new owner may be gone again already. */
const isAnothers = ({ ctx, id, given }: Passed): boolean => !isFreed(ctx) && ctx.given[id] !== given;

/**
 * Where calls under way have placed what the kernel may place anywhere. Who succeeds answers it; who fails later does
 * not, and others have met areas there meanwhile.
 *
 * Source: iommufd 2.7, 4.2; drivers/iommu/iommufd/io_pagetable.c, iopt_alloc_area_pages()
 */
import type { Area } from '../../impl/iommufd/area.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { isFreed } from '../../impl/kernel/poison.ts';
import { toBigint } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import type { Command, Handle } from '../../trace/command.ts';

export class Places {
  readonly #machine: Machine;
  /** Of every space: nothing but a map or a copy makes more. */
  readonly #known = new Set<Area>();

  constructor(machine: Machine) {
    this.#machine = machine;
    for (const { table } of machine.contexts)
      for (const object of table) if (object instanceof Ioas) this.#takeNote(object);
  }

  /** After a step of the command: where it has placed its first area, if it did so just now. */
  look(command: Command): bigint | undefined {
    const space = this.#spaceOf(targetOf(command));
    return space && this.#takeNote(space);
  }

  #spaceOf(name: Handle | undefined): Ioas | undefined {
    const named = name === undefined ? undefined : this.#machine.names.get(name);
    const object = named?.kind === 'object' ? named.object : undefined;
    return object instanceof Ioas && !isFreed(object) ? object : undefined;
  }

  /** The lowest of those that were not known. */
  #takeNote({ iopt }: Ioas): bigint | undefined {
    let lowest: bigint | undefined;
    for (const area of iopt.areas.all()) {
      if (this.#known.has(area)) continue;
      this.#known.add(area);
      lowest ??= toBigint(area.iova); // They are ascending.
    }
    return lowest;
  }
}

function targetOf(command: Command): Handle | undefined {
  switch (command.do) {
    case 'ioas_map':
    case 'ioas_map_file':
      return command.ioas;
    case 'ioas_copy':
      return command.dst;
    default:
      return undefined;
  }
}

/**
 * A state of the model as a line of text: two that have the same one behave the same from there on. What is an identity
 * in the model, such as an opening or a buffer, is a number here, by where it is met first.
 */
import type { Hold } from '../../model/holds.ts';
import type { Area, Context, Device, Domain, Ioas, Opening, Source, Space, State } from '../../model/spec.ts';

type Identity = Context | Space | Opening | Domain | Source;

export const keyOf = (state: State): string => new Key().of(state);

class Key {
  readonly #numbers = new Map<object, number>();

  of({ handles, contexts, ioases, devices, takenBack, mappings, processes, holds }: State): string {
    const names = [...handles].sort(byText(([name]) => name)).map(([name, to]) => `${name}=${this.#id(to)}`);
    const mapped = mappings.map(
      ({ process = '', name, source, left }) => `${process} ${name} ${this.#id(source)} ${left}`,
    );
    return [
      names.join(),
      devices.map((device) => this.#device(device)).join(),
      this.#ids(contexts),
      ioases
        .map((ioas) => this.#ioas(ioas))
        .sort()
        .join(),
      mapped.sort().join(),
      this.#ids(takenBack),
      [...processes].sort().join(),
      holds
        .map((hold) => this.#hold(hold))
        .sort()
        .join(),
    ].join('|');
  }

  /** With all that it consists of when it is met for the first time. */
  #id(it: Identity | undefined): string {
    if (it === undefined) return '-';
    const known = this.#numbers.get(it);
    if (known !== undefined) return `#${known}`;
    this.#numbers.set(it, this.#numbers.size);
    return `#${this.#numbers.size - 1}${this.#detail(it)}`;
  }

  #detail(it: Identity): string {
    if ('base' in it) {
      const { is, memory, base, length, ranges, owner, of, nth = 0 } = it;
      return `{${is} ${memory} ${base} ${length} ${ranges} ${nth} ${this.#id(owner)} ${this.#id(of)}}`;
    }
    if (it.is === 'opening') return `{${it.device}}`;
    if (it.is === 'context') return `{${it.name}}`;
    if (it.is === 'ioas') return `{${it.name} ${this.#id(it.context)}}`;
    return `{${it.name} ${it.automatic} ${it.dirty} ${this.#id(it.space)}}`;
  }

  #ids(all: readonly Identity[]): string {
    return all
      .map((it) => this.#id(it))
      .sort()
      .join();
  }

  #device(it: Device): string {
    const { name, memory, power, opening, holder, context, attached, domain, lost, spared, lowPower, exports } = it;
    const ids = [opening, holder, context, domain].map((each) => this.#id(each));
    return `${name} ${memory} ${power} ${ids} ${attached} ${lost} ${this.#ids(spared)} ${lowPower} ${exports}`;
  }

  #ioas({ space, areas, domains, allowed, largePages }: Ioas): string {
    const rows = areas.map((area) => this.#area(area));
    return `${this.#id(space)} [${rows}] ${this.#ids(domains)} ${allowed} ${largePages}`;
  }

  #area({ iova, length, prot, live, source, offset, writable, busy }: Area): string {
    return `${iova} ${length} ${prot} ${live} ${this.#id(source)} ${offset} ${writable} ${busy}`;
  }

  #hold({ by, how, what, filled, areas = [] }: Hold): string {
    const of = typeof what === 'string' ? what : this.#id(what as Identity);
    return `${by} ${how} ${of} ${filled} ${areas.map((area) => this.#area(area))}`;
  }
}

const byText =
  <T>(text: (it: T) => string) =>
  (a: T, b: T): number =>
    text(a) < text(b) ? -1 : 1;

/** Every schedule there is, depth first. A thread cannot be copied half-way, so each run starts from a fresh world. */

/** A run that met other choices than the one whose beginning it repeats proves nothing. */
export class NotDeterministic extends Error {
  override readonly name = 'NotDeterministic';
}

/**
 * Call `run` once for every sequence of choices, each time with a chooser that leads it down another; how many there
 * were. `run` makes its world anew, and asks the chooser all it wants to know.
 */
export function exhaust(run: (choose: (queueLength: number) => number) => void): number {
  const path: { place: number; readonly places: number }[] = [];
  for (let runs = 1; ; runs++) {
    let depth = 0;
    run((places) => {
      if (depth === path.length) path.push({ place: 0, places });
      const choice = path[depth++] as (typeof path)[number];
      if (choice.places === places) return choice.place;
      throw new NotDeterministic(`choice ${depth} was among ${choice.places}, and is among ${places} now`);
    });
    if (depth < path.length) throw new NotDeterministic(`a run ended after ${depth} of ${path.length} choices`);
    while (path.length > 0 && isLast(path.at(-1) as (typeof path)[number])) path.pop();
    const branching = path.at(-1);
    if (branching === undefined) return runs;
    branching.place++;
  }
}

const isLast = ({ place, places }: { readonly place: number; readonly places: number }): boolean =>
  place + 1 === places;

/** The smaller steps of what looks at an IOAS, or decides about it: in between, nobody can destroy it. */

import type { Command } from '../trace/command.ts';
import { ioasNamed } from './names.ts';
import { go, type Part, part, type Stepped, taken, whole, written } from './part.ts';
import { using } from './parts-areas.ts';
import { type Do, type Space, type State, step } from './spec.ts';

/** Looked up · done. It waits only for a domain that comes. */
export const ioasParts = (
  c: Do<'ioas_iova_ranges' | 'ioas_allow_iovas' | 'ioas_option_huge_pages'>,
): readonly Part[] => [
  part('looks up', (s, by) => {
    const { space } = ioasNamed(s, c.ioas);
    if (!s.ioases.some((ioas) => ioas.space === space)) return whole(step(s, c), s);
    const act = part('acts', (now, by) => {
      if (c.do === 'ioas_option_huge_pages' ? taken(now, by, space) : written(now, by, space)) return 'waits';
      return inContext(now, space, c);
    });
    return go(using(s, by, space, space.context), [act]);
  }),
];

/** The ioctl goes on in its context, though the descriptor may be closed meanwhile. */
const inContext = (s: State, { context }: Space, c: Command): Stepped => {
  const { contexts } = s;
  // What could be refused is a choice of the kernel, and here is none.
  const did = whole(step({ ...s, contexts: [...contexts, context] }, c), s) as Stepped;
  return { ...did, state: { ...did.state, contexts } };
};

/** Steps and actors in the short notation that people are shown. */
import type { Command } from '../../trace/command.ts';
import { showCommand, showHex } from '../../trace/show.ts';
import type { DriverStep, Step } from './race.ts';

/** How each step reads that no trace has; the table is complete, or it does not compile. */
const PHRASES: { readonly [S in DriverStep as S['do']]: (step: S) => string } = {
  importer: ({ as, kind }) => `importer ${as}, which unmaps ${WHEN[kind]}`,
  importer_attach: ({ importer, fd }) => `attach ${importer} to ${fd}`,
  importer_map: ({ importer }) => `map for the DMA of ${importer}`,
  importer_unmap: ({ importer }) => `unmap from the DMA of ${importer}`,
  importer_detach: ({ importer }) => `detach ${importer}`,
  importer_submit: ({ importer, usage, fence }) => `submit work of ${importer} as ${usage}, until ${fence}`,
  fence_signal: ({ fence }) => `signal ${fence}`,
  access: ({ ioas, as }) => `access ${as} to ${ioas}`,
  access_pin: ({ access, iova, length }) => `pin ${showHex(iova)} length ${showHex(length)} through ${access}`,
  code: ({ as }) => `kernel code ${as}`,
};

const WHEN = { prompt: 'as soon as it is told', late: 'when it comes to it', never: 'never' } as const;

/** No trace has a command for it. */
export const isDriverStep = (step: Step): step is DriverStep => step.do in PHRASES;

export const showStep = (step: Step): string =>
  isDriverStep(step) ? (PHRASES[step.do] as (step: DriverStep) => string)(step) : showCommand(step as Command);

/** What each thread does, and which it is where several do the same. */
export function threadNames(threads: readonly (readonly Step[])[]): string[] {
  const names = threads.map((steps) => steps.map((step) => (step.do === 'code' ? step.as : step.do)).join('+'));
  return names.map((name, i) => {
    if (names.indexOf(name) === names.lastIndexOf(name)) return name;
    return `${name} #${names.slice(0, i + 1).filter((each) => each === name).length}`;
  });
}

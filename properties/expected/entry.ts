/** What one row of the documents says about one command, and whether a random sequence can get there. */
import type { Errno } from '../../trace/answer.ts';

/** How a command ended. */
export type Ending = 'ok' | Errno;

/** A document, its section, and there a numbered row or a few words. */
export type Source = `iommufd ${string}` | `vfio-dmabuf ${string}` | `traces ${string}`;

/** Why a documented answer cannot be had here. */
export const REASONS = {
  noFault: 'no allocation fails in a sequential run without faults',
  wellFormed: 'the harness passes well-formed structs',
  bigBuffer: 'the buffer is always large enough',
  fewFiles: 'the table of descriptors never fills up',
  oneThread: 'one thread at a time',
  noArgument: 'the command has no argument that asks for it',
  earlier: 'an earlier check has answered',
  once: 'a domain enters an IOAS once',
  notUser: 'only user memory can be missing',
  kinds: 'the format names the right kind of object there',
  replaces: 'attaching an attached device replaces',
  noAccess: 'nothing but devices has access to an IOAS',
  oneExporter: 'vfio-pci is the only exporter, iommufd the only importer',
  kernel: 'the kernel has all of vfio-pci and its dma-bufs',
  machine: 'no machine of the format is like that',
  inGroups: 'only for a device opened through its group',
  resumes: 'a device always resumes',
  mockOnly: 'only the page tables of the mock lane answer so',
  neverUnbound: 'no device ever loses its driver',
  newDevice: 'a test device is new, and alone in its group',
} as const;
export type Reason = keyof typeof REASONS;

/** A row that answers: it occurs in random sequences, `when` says how; or it is impossible here. */
export type Entry =
  | { readonly answer: Ending; readonly source: Source; readonly when: string }
  | { readonly answer: Ending; readonly source: Source; readonly impossible: Reason };

export const occurs = (answer: Ending, source: Source, when: string): Entry => ({ answer, source, when });
export const never = (answer: Ending, source: Source, impossible: Reason): Entry => ({ answer, source, impossible });

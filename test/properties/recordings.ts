/** The recorded traces, by folder or file, and how many there are; a trace that gets lost is missed. */
export const RECORDINGS: readonly { readonly path: string; readonly all: number }[] = [
  { path: 'linux-7.2.13/core.jsonl', all: 420 },
  { path: 'linux-7.2.13/breadth.jsonl', all: 420 },
  { path: 'linux-7.2.13/bad-input.jsonl', all: 420 },
  { path: 'linux-7.2.13/lifecycle.jsonl', all: 418 },
  { path: 'linux-7.2.13/mock.jsonl', all: 420 },
  { path: 'linux-7.2.13/scenarios', all: 110 },
  { path: 'linux-7.3.4', all: 178 },
];

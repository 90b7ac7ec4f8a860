/** The steps of a sequence with accesses, and what one comes to. */
import type { Errno } from '../../trace/answer.ts';
import type { Command, Handle } from '../../trace/command.ts';

export type Step =
  | { readonly do: 'command'; readonly command: Command }
  | { readonly do: 'create'; readonly as: string; readonly pins: boolean; readonly space: Handle }
  | {
      readonly do: 'queue';
      readonly as: string;
      readonly space: Handle;
      readonly iova: bigint;
      readonly length: number;
    }
  | { readonly do: 'replace' | 'reattach'; readonly access: string; readonly space: Handle }
  | { readonly do: 'close' | 'destroy'; readonly access: string }
  | {
      readonly do: 'pin';
      readonly access: string;
      readonly write: boolean;
      readonly iova: bigint;
      readonly length: number;
    }
  | { readonly do: 'unpin'; readonly access: string; readonly id: number }
  | ({ readonly do: 'rw'; readonly access: string; readonly iova: bigint; readonly length: number } & Rw)
  | { readonly do: 'change process' | 'exit' };

/** Who reads or writes: the process whose memory it is, another one, or a kernel thread; and by which path. */
export interface Rw {
  readonly write: boolean;
  readonly slow: boolean;
  readonly caller: 'own' | 'other' | 'thread';
}

/** What a step answered, and what is wrong with that. */
export interface Outcome {
  readonly answer: Errno | 'ok';
  readonly wrong: readonly string[];
}

/** The answer of both, where they agree. */
export function sameAnswer(got: Errno | undefined, expected: Errno | undefined): Outcome {
  const wrong = got === expected ? [] : [`${expected ?? 'ok'} is expected`];
  return { answer: got ?? 'ok', wrong };
}

/** The steps of a sequence with importers, and how they are told. */
import type { ImporterKind } from '../../impl/importers/importer.ts';
import type { UsageName } from './oracle.ts';

export type Step =
  | { readonly do: 'export'; readonly dev: string; readonly as: string; readonly ranges: number }
  | { readonly do: 'close'; readonly buffer: string }
  | { readonly do: 'revoke for good'; readonly dev: string; readonly buffer: string }
  | { readonly do: 'attach'; readonly as: string; readonly kind: ImporterKind; readonly buffer: string }
  | { readonly do: 'pin' | 'map' | 'unmap' | 'detach'; readonly importer: string }
  | { readonly do: 'submit'; readonly importer: string; readonly as: string; readonly usage: UsageName }
  | { readonly do: 'import sync file'; readonly buffer: string; readonly as: string; readonly write: boolean }
  | { readonly do: 'signal'; readonly fence: string }
  | { readonly do: 'map area' | 'unmap area'; readonly area: string; readonly buffer: string }
  | { readonly do: 'memory'; readonly dev: string; readonly on: boolean }
  | { readonly do: 'lock elsewhere'; readonly dev: string; readonly on: boolean }
  | { readonly do: 'power'; readonly dev: string; readonly state: 0 | 1 | 2 | 3 }
  | { readonly do: 'low power entry'; readonly dev: string; readonly wakeup: boolean }
  | {
      readonly do:
        | 'reset'
        | 'FLR'
        | 'low power exit'
        | 'wake'
        | 'hot reset'
        | 'device close'
        | 'device open'
        | 'removal';
      readonly dev: string;
    };

/** The step in a few words; with the number of the step it names the thread that makes it. */
export function showStep(step: Step): string {
  switch (step.do) {
    case 'export':
      return `export of ${step.ranges === 1 ? 'one range' : `${step.ranges} ranges`} of ${step.dev} as ${step.as}`;
    case 'close':
      return `close of ${step.buffer}`;
    case 'revoke for good':
      return `revoke for good of ${step.buffer} by ${step.dev}`;
    case 'attach':
      return `attach of ${step.as} to ${step.buffer}`;
    case 'submit':
      return `work ${step.as} (${step.usage}) of ${step.importer}`;
    case 'import sync file':
      return `IMPORT_SYNC_FILE ${step.as} (${step.write ? 'WRITE' : 'READ'}) into ${step.buffer}`;
    case 'signal':
      return `signal of ${step.fence}`;
    case 'map area':
      return `IOAS_MAP_FILE of ${step.buffer} as ${step.area}`;
    case 'unmap area':
      return `IOAS_UNMAP of ${step.area}`;
    case 'memory':
      return `memory ${step.on ? 'on' : 'off'} of ${step.dev}`;
    case 'lock elsewhere':
      return `somebody else ${step.on ? 'locks' : 'lets go of'} ${step.dev}`;
    case 'power':
      return `power D${step.state} of ${step.dev}`;
    case 'low power entry':
      return `low power entry${step.wakeup ? ' with wakeup' : ''} of ${step.dev}`;
    case 'pin':
    case 'map':
    case 'unmap':
    case 'detach':
      return `${step.do} of ${step.importer}`;
    default:
      return `${step.do} of ${step.dev}`;
  }
}

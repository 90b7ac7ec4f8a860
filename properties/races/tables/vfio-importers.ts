/** Races of importers with a revoke. Source: vfio-dmabuf 7.3, R2 to R6, R24 */
import { end, type FenceUsage, type Race } from '../race.ts';
import { FOR_GOOD, importer, importerDetach, importerMap, importerUnmap, OFF, ON, RESET, START } from '../steps.ts';

const ATTACH_AND_MAP = [{ do: 'importer_attach', importer: 'i', fd: 'buf' }, importerMap('i')] as const;
const USAGES: readonly FenceUsage[] = ['KERNEL', 'WRITE', 'READ', 'BOOKKEEP'];
const signal = { do: 'fence_signal', fence: 'fence' } as const;
const submit = (usage: FenceUsage, fence = 'fence') =>
  ({ do: 'importer_submit', importer: 'i', usage, fence }) as const;

export const IMPORTER_RACES: readonly Race[] = [
  {
    id: 'R2',
    actors: 'attach, then map ∥ revoke',
    says: 'ENODEV; or attached, called back only if listed before the pass, and a later map is ENODEV.',
    cases: [
      {
        from: 'an importer that unmaps as soon as it is told',
        before: [...START, { do: 'importer', as: 'i', kind: 'prompt' }],
        actors: [ATTACH_AND_MAP, OFF],
        ends: [
          end('ENODEV, ok', 'TEMP', { callbacks: [], maps: 0 }),
          end('ok+ENODEV, ok', 'TEMP', { callbacks: [], maps: 0 }),
          end('ok+ENODEV, ok', 'TEMP', { callbacks: ['i'], maps: 0 }),
          end('ok+ok, ok', 'TEMP', { callbacks: ['i'], maps: 0 }),
        ],
      },
      {
        from: 'the same, v4, for good',
        kernel: 'v4',
        before: [...START, { do: 'importer', as: 'i', kind: 'prompt' }],
        actors: [ATTACH_AND_MAP, FOR_GOOD],
        ends: [
          end('ENODEV, ok', 'PERM', { callbacks: [], maps: 0 }),
          end('ok+ENODEV, ok', 'PERM', { callbacks: [], maps: 0 }),
          end('ok+ENODEV, ok', 'PERM', { callbacks: ['i'], maps: 0 }),
          end('ok+ok, ok', 'PERM', { callbacks: ['i'], maps: 0 }),
        ],
      },
    ],
  },
  {
    id: 'R3',
    actors: 'map ∥ revoke',
    says: 'Mapped before: counted, called back, and the revoke waits for the unmap. After: ENODEV.',
    cases: [
      {
        from: 'an importer that unmaps as soon as it is told',
        before: [...START, ...importer('i', 'prompt')],
        actors: [importerMap('i'), OFF],
        ends: [
          end('ok, ok', 'TEMP', { callbacks: ['i'], maps: 0 }),
          end('ENODEV, ok', 'TEMP', { callbacks: ['i'], maps: 0 }),
        ],
      },
      {
        from: 'an importer that never unmaps',
        before: [...START, ...importer('i', 'never')],
        actors: [importerMap('i'), OFF],
        ends: [
          end('ok, blocked', 'TEMP', { callbacks: ['i'], maps: 1 }),
          end('ENODEV, ok', 'TEMP', { callbacks: ['i'], maps: 0 }),
        ],
      },
      {
        from: 'two importers that unmap as soon as they are told',
        quick: 2,
        before: [...START, ...importer('i', 'prompt'), ...importer('j', 'prompt')],
        actors: [importerMap('i'), importerMap('j'), OFF],
        ends: [
          end('ok, ok, ok', 'TEMP', { maps: 0 }),
          end('ok, ENODEV, ok', 'TEMP', { maps: 0 }),
          end('ENODEV, ok, ok', 'TEMP', { maps: 0 }),
          end('ENODEV, ENODEV, ok', 'TEMP', { maps: 0 }),
        ],
      },
    ],
  },
  {
    id: 'R4',
    actors: 'map ∥ un-revoke',
    says: 'ENODEV, or success with a token that is not drained.',
    cases: [
      {
        from: 'revoked by memory off; memory on',
        before: [...START, ...importer('i', 'prompt'), OFF],
        actors: [importerMap('i'), ON],
        ends: [end('ENODEV, ok', 'OK', { maps: 0 }), end('ok, ok', 'OK', { maps: 1 })],
      },
      {
        from: 'not revoked; a reset, which revokes and gives back',
        before: [...START, ...importer('i', 'prompt')],
        actors: [importerMap('i'), RESET],
        ends: [
          end('ENODEV, ok', 'OK', { maps: 0 }),
          end('ok, ok', 'OK', { maps: 0 }),
          end('ok, ok', 'OK', { maps: 1 }),
        ],
      },
      {
        from: 'revoked by memory off; memory on, v4',
        kernel: 'v4',
        before: [...START, ...importer('i', 'prompt'), OFF],
        actors: [importerMap('i'), ON],
        ends: [end('ENODEV, ok', 'OK', { maps: 0 }), end('ok, ok', 'OK', { maps: 1 })],
      },
    ],
  },
  {
    id: 'R5',
    actors: 'unmap ∥ revoke',
    says: 'The revoke returns only after the unmap is finished.',
    cases: [
      {
        from: 'an importer that unmaps when it comes to it',
        before: [...START, ...importer('i', 'late'), importerMap('i')],
        actors: [importerUnmap('i'), OFF],
        ends: [end('ok, ok', 'TEMP', { callbacks: ['i'], maps: 0 })],
      },
      {
        from: 'and another one that never does',
        before: [...START, ...importer('i', 'late'), importerMap('i'), ...importer('j', 'never'), importerMap('j')],
        actors: [importerUnmap('i'), OFF],
        ends: [end('ok, blocked', 'TEMP', { maps: 1 })],
      },
    ],
  },
  {
    id: 'R6',
    actors: 'signal of a fence ∥ revoke',
    says: 'The revoke returns after the signal, whatever the usage.',
    cases: [
      ...USAGES.map((usage) => ({
        from: `work of usage ${usage}`,
        before: [...START, ...importer('i', 'late'), submit(usage)],
        actors: [signal, OFF],
        ends: [end('ok, ok', 'TEMP', { callbacks: ['i'] })],
      })),
      {
        from: 'and other work that never ends',
        before: [...START, ...importer('i', 'late'), submit('READ'), submit('BOOKKEEP', 'stuck')],
        actors: [signal, OFF],
        ends: [end('ok, blocked', 'TEMP', { callbacks: ['i'] })],
      },
    ],
  },
  {
    id: 'R24',
    actors: 'detach ∥ callback of a revoke',
    says: 'No callback runs once the detach has returned.',
    cases: [
      {
        from: 'attached',
        before: [...START, ...importer('i', 'late')],
        actors: [importerDetach('i'), OFF],
        ends: [end('ok, ok', 'TEMP', { callbacks: [] }), end('ok, ok', 'TEMP', { callbacks: ['i'] })],
      },
      {
        from: 'mapped',
        before: [...START, ...importer('i', 'late'), importerMap('i')],
        actors: [importerDetach('i'), OFF],
        ends: [end('ok, ok', 'TEMP', { callbacks: [], maps: 0 }), end('ok, ok', 'TEMP', { callbacks: ['i'], maps: 0 })],
      },
      {
        from: 'mapped, by one that unmaps as soon as it is told',
        before: [...START, ...importer('i', 'prompt'), importerMap('i')],
        actors: [importerDetach('i'), OFF],
        ends: [end('ok, ok', 'TEMP', { callbacks: [], maps: 0 }), end('ok, ok', 'TEMP', { callbacks: ['i'], maps: 0 })],
      },
    ],
  },
];

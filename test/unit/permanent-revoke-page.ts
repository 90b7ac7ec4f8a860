/** The life of a buffer as a page of Markdown, `docs/permanent-revoke.md`: the table that the engine runs. */
import { EVENTS, type Event, STATES, type State, TABLE, type Transition } from '../../impl/vfio/pci-dmabuf-status.ts';

export function page(): string {
  return `${[
    '# Permanent revoke',
    '',
    'A buffer of vfio-pci in the unmerged series that lets the CPU map it (kernel profile `v4`). It is usable (`OK`),',
    'or revoked until the memory of its device is back (`TEMP_REVOKED`), or revoked for good by its owner',
    '(`PERM_REVOKED`). When the device closes it forgets the buffer, which is as good as for good (`CLOSED`). A buffer',
    'is born `OK`, or, while the memory is off, `TEMP_REVOKED`.',
    '',
    'This page is drawn from [`impl/vfio/pci-dmabuf-status.ts`](../impl/vfio/pci-dmabuf-status.ts), the table that the',
    'revoke engine runs and every request asks: `npx vitest run permanent-revoke -u` draws it.',
    '',
    '```mermaid',
    'stateDiagram-v2',
    '  [*] --> OK: export',
    '  [*] --> TEMP_REVOKED: export, memory off',
    ...STATES.flatMap(edges),
    '```',
    '',
    'What waits, a double arrow in the table, tells the importers, waits for all fences and DMA maps, and takes the',
    'entries of the CPU away.',
    '',
    '## Every state and event',
    '',
    `| | ${EVENTS.map(code).join(' | ')} |`,
    `|---|${EVENTS.map(() => '---').join('|')}|`,
    ...STATES.map(rowOf),
    '',
    '- `move(true)`, `move(false)`: the memory of the device goes away, by whatever trigger; it is back.',
    '- `DMA_BUF_REVOKE`: VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE of this buffer, by a descriptor of its device.',
    '- `forget`: the device closes. It has done `move(true)` before, under the same lock.',
    '- `import`: attach, DMA map, or map into an IOAS.',
    '- `mmap`, `touch`: the CPU maps the buffer, and reads through a mapping.',
    '- `–`: cannot come. The engine splats where it does.',
    '',
    '## What a wait is',
    '',
    'In this order, the first two with `dma_resv` held, all of it under `memory_lock` for writing:',
    '',
    ...waits().map((effect, i) => `${i + 1}. ${effect}`),
    '',
    '`TEMP_REVOKED` to `PERM_REVOKED` only writes the status: nothing reaches the buffer already, and the token',
    'is left alone. So does `TEMP_REVOKED` to `OK`: no importer is called; the entries of the CPU come back by faults.',
  ].join('\n')}\n`;
}

const code = (word: string): string => `\`${word}\``;
const rowOf = (state: State): string =>
  `| ${[code(state), ...EVENTS.map((event) => cell(state, event))].join(' | ')} |`;

/** Arrows to other states, those that go the same way as one. */
function edges(from: State): string[] {
  const arrows = new Map<State, string[]>();
  for (const event of EVENTS) {
    const transition = TABLE[from][event];
    if (transition === undefined || transition.next === from) continue;
    const label = isWait(transition) ? `${event}, waits` : event;
    arrows.set(transition.next, [...(arrows.get(transition.next) ?? []), label]);
  }
  return [...arrows].map(([to, events]) => `  ${from} --> ${to}: ${events.join(' / ')}`);
}

const isWait = ({ held, after }: Transition): boolean => held.length + after.length > 0;

function cell(state: State, event: Event): string {
  const transition = TABLE[state][event];
  if (transition === undefined) return '–';
  const { next, answer } = transition;
  const gives = answer === undefined ? [] : [`\`${answer}\``];
  if (next !== state) gives.unshift(`${isWait(transition) ? '⇒' : '→'} \`${next}\``);
  return gives.length > 0 ? gives.join(', ') : 'ok';
}

/** The one list of effects; a test says that there is no other. */
function waits(): readonly string[] {
  const { held, after } = TABLE.OK['move(true)'] as Transition;
  return [...held, ...after];
}

/**
 * Every trigger against the entries of every process: in huge leaves, in parts of mappings, in forked children.
 *
 * Source: vfio-dmabuf 2.8, 6.2, 6.9, V-46, V-47
 */
import { describe, expect, test } from 'vitest';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { exit, fork, H, map, munmap, PAGE, peek, reached, rigOf, SIGBUS, value } from './cpu-scene.ts';
import type { Rig } from './iommufd-rig.ts';

describe('no process has an entry, of whatever size or part, after', () => {
  const lowPower: Command = { do: 'vfio_low_power_entry', dev: 'dev0' };
  const TRIGGERS: readonly [what: string, commands: readonly Command[], touch: 'SIGBUS' | 'again'][] = [
    ['memory off', [{ do: 'vfio_memory', dev: 'dev0', enable: false }], 'SIGBUS'],
    ['VFIO_DEVICE_RESET', [{ do: 'vfio_reset', dev: 'dev0' }], 'again'],
    ['FLR', [{ do: 'vfio_flr', dev: 'dev0' }], 'again'],
    ['a hot reset', [{ do: 'vfio_hot_reset', dev: 'dev0' }], 'again'],
    ['a hot reset of its sibling', [{ do: 'vfio_hot_reset', dev: 'dev1' }], 'again'],
    ['D3hot', [{ do: 'vfio_power', dev: 'dev0', state: 3 }], 'SIGBUS'],
    [
      'D3hot and back',
      [
        { do: 'vfio_power', dev: 'dev0', state: 3 },
        { do: 'vfio_power', dev: 'dev0', state: 0 },
      ],
      'again',
    ],
    ['low power', [lowPower], 'SIGBUS'],
    ['low power and back', [lowPower, { do: 'vfio_low_power_exit', dev: 'dev0' }], 'again'],
    [
      'low power and a wakeup',
      [
        { ...lowPower, wakeup: true },
        { do: 'vfio_wake', dev: 'dev0' },
      ],
      'again',
    ],
  ];

  /** A huge leaf, a mapping in two parts, and a child with each, cut once more, and its child's sibling gone. */
  function crowd(): Rig {
    const rig = rigOf(
      map('v', 2n * H),
      peek(0n),
      map('w', 5n * PAGE, PAGE),
      { do: 'munmap', map: 'w', offset: 2n * PAGE, length: PAGE },
      peek(PAGE, undefined, 'w'),
      peek(3n * PAGE, undefined, 'w'),
      fork('p'),
      fork('q'),
      munmap({ offset: H + PAGE, length: PAGE, process: 'q' }),
      peek(H, 'q'),
      peek(H, 'p'),
      fork('r'),
      exit('r'),
    );
    expect(reached(rig)).toEqual([
      'first v+0 512 UC',
      'first w+1 1 UC',
      'first w+3 1 UC',
      'p v+0 512 UC',
      'p v+512 512 UC',
      'p w+1 1 UC',
      'p w+3 1 UC',
      'q v+0 512 UC',
      'q v+512 1 UC',
      'q w+1 1 UC',
      'q w+3 1 UC',
    ]);
    return rig;
  }

  test.each(TRIGGERS)('%s', (_, commands, touch) => {
    const rig = crowd();
    rig.must(...commands);
    expect([rig.machine.cpuMappings(), rig.machine.audit()]).toEqual([[], []]);
    for (const process of [undefined, 'p', 'q']) {
      expect(rig.do(peek(H, process))).toEqual(touch === 'SIGBUS' ? SIGBUS : value(H));
      expect(rig.do(peek(3n * PAGE, process, 'w'))).toEqual(touch === 'SIGBUS' ? SIGBUS : value(4n * PAGE));
    }
    rig.expectAtRest();
  });

  test('V-46: a mapping made while memory is off is SIGBUS in parent and child until it is on', () => {
    const memory = (enable: boolean): Command => ({ do: 'vfio_memory', dev: 'dev0', enable });
    const rig = rigOf(memory(false), map(), fork());
    const both = (): Result[] => [rig.do(peek(0n)), rig.do(peek(0n, 'p'))];
    expect([both(), rig.machine.cpuMappings()]).toEqual([[SIGBUS, SIGBUS], []]);
    rig.must(memory(true));
    expect(both()).toEqual([value(0n), value(0n)]);
  });
});

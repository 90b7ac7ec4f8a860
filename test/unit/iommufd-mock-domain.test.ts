/** Mock devices: made, attached and removed through a context. Source: iommufd 1.5, 2.11, 7.5, 7.6 */
import { describe, expect, test } from 'vitest';
import type { Errno, Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { A, MOCK_LANE, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

const mock = (dev: string, ioas = 'ioas', as = `h-${dev}`): Command => ({ do: 'mock_domain', ioas, as, dev });
const remove = (dev: string): Command => ({ do: 'mock_domain_destroy', dev });
const destroy = (obj: string): Command => ({ do: 'destroy', obj });
const hwptFor = (dev: string, ioas = 'ioas', flags?: bigint): Command => ({
  do: 'hwpt_alloc',
  dev,
  ioas,
  as: 'manual',
  ...(flags !== undefined && { flags }),
});
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };

/** A mock machine with test dma-buf `buf` of 16 KiB. */
function world(...more: readonly Command[]): Rig {
  const rig = new Rig(MOCK_LANE);
  rig.must({ do: 'mock_dmabuf', length: 0x4000n, as: 'buf' }, ...more);
  rig.calls();
  return rig;
}

const refused = (answer: Errno): Result => ({ err: answer });
const MAPPED = '0x1000000 -> buf+0x0 0x4000 RW+MMIO';

test('mock devices of one IOAS share its automatic domain, which goes with the last of them', () => {
  const rig = world(mock('md0'), mock('md1'));
  rig.mapFile();
  expect(rig.calls()).toEqual(['map ioas 0x1000000 -> buf+0x0 0x4000 RW+MMIO']);
  expect([rig.reach('md0'), rig.reach('md1'), rig.domain('h-md0') === rig.domain('h-md1')]).toEqual([
    [MAPPED],
    [MAPPED],
    true,
  ]);
  expect([rig.do(destroy('h-md0')), rig.do(destroy('ioas'))]).toEqual([refused('EBUSY'), refused('EBUSY')]);
  rig.must(remove('md0'));
  expect([rig.machine.domainOf('md0'), rig.reach('md1'), rig.calls()]).toEqual([undefined, [MAPPED], []]);
  rig.must(remove('md1'));
  expect([rig.calls(), rig.do(destroy('h-md0'))]).toEqual([['unmap ioas 0x1000000 0x4000'], refused('ENOENT')]);
  expect([rig.unmap(0n, U64_MAX), rig.do(destroy('ioas'))]).toEqual([removed(0x4000n), OK]);
  rig.expectAtRest();
});

test('a mock device of a HWPT is in its domain, which stays when the device goes', () => {
  const rig = world(mock('md0'), hwptFor('md0'), mock('md1', 'manual', 'same'));
  rig.mapFile();
  expect(rig.reach('md1')).toEqual([MAPPED]);
  expect([rig.domain('same').name, rig.do(destroy('same'))]).toEqual(['manual', refused('EBUSY')]);
  rig.must(remove('md1'));
  expect([rig.reach('manual'), rig.do(destroy('same')), rig.do(destroy('manual'))]).toEqual([
    [MAPPED],
    OK,
    refused('ENOENT'),
  ]);
  rig.expectAtRest();
});

test('a mock device narrows the IOVA ranges to the aperture, in multiples of 2 KiB, as long as it is there', () => {
  const rig = world(mock('md0'));
  expect(rig.ranges()).toEqual({ ok: { ranges: [[A, 0x7fff_ffffn]], alignment: 0x800n } });
  rig.must(remove('md0'));
  expect(rig.ranges()).toEqual({ ok: { ranges: [[0n, U64_MAX]], alignment: 1n } });
});

describe('MOCK_DOMAIN', () => {
  const mapAt = (iova: bigint, length: bigint): Command => ({
    do: 'ioas_map_file',
    ioas: 'ioas',
    fd: 'buf',
    start: 0n,
    length,
    prot: 'rw',
    iova,
  });

  test.each<[answer: Errno, why: string, before: readonly Command[], ioas?: string]>([
    ['ENOENT', 'an IOAS that is gone', [destroy('ioas')]],
    ['ENOENT', 'an automatic domain that is gone', [mock('md0'), remove('md0')], 'h-md0'],
    ['EINVAL', 'what is neither an IOAS nor a HWPT', [mock('md0')], 'md0'],
    ['EBADF', 'an IOAS of a closed iommufd', [{ do: 'iommufd_close', ctx: 'ctx' }]],
    ['EBADF', 'a name that nobody gave', [], 'nobody'],
    ['EADDRINUSE', 'an area below the aperture', [mapAt(A - 0x1000n, 0x1000n)]],
    ['EADDRINUSE', 'an area with its last byte above it', [mapAt(0x7fff_f000n, 0x1001n)]],
    ['EADDRINUSE', 'an area of less than half a page', [mapAt(A, 0x7ffn)]],
    [
      'EADDRINUSE',
      'an allowed range that begins below it',
      [{ do: 'ioas_allow_iovas', ioas: 'ioas', ranges: [[A - 1n, A]] }],
    ],
    [
      'EADDRINUSE',
      'an allowed range that ends above it',
      [{ do: 'ioas_allow_iovas', ioas: 'ioas', ranges: [[A, 0x8000_0000n]] }],
    ],
  ])('is %s for %s, and makes no device', (answer, _, before, ioas = 'ioas') => {
    const rig = world(...before);
    const objects = rig.machine.contexts.size;
    const untouched = ioas === 'ioas' && answer === 'EADDRINUSE' ? rig.state([]) : undefined;
    expect(rig.do(mock('new', ioas))).toEqual(refused(answer));
    if (untouched !== undefined) expect(rig.state([])).toEqual(untouched);
    expect([rig.machine.contexts.size, rig.machine.domainOf('new')]).toEqual([objects, undefined]);
    expect([rig.do(remove('new')), rig.calls()]).toEqual([refused('EBADF'), []]);
    rig.expectAtRest();
  });
});

test('removing a mock device twice is ENOENT, and EBADF once its iommufd is closed', () => {
  const rig = world(mock('md0'), remove('md0'));
  expect(rig.do(remove('md0'))).toEqual(refused('ENOENT'));
  rig.must({ do: 'iommufd_close', ctx: 'ctx' });
  expect(rig.do(remove('md0'))).toEqual(refused('EBADF'));
});

test('the name of a mock device that is gone stands for the next one', () => {
  const rig = world(mock('md0'), other);
  rig.mapFile();
  rig.must(remove('md0'), mock('md0', 'other'));
  expect([rig.domain('md0').name, rig.reach('md0')]).toEqual(['other', []]);
  rig.must(remove('md0'), mock('md0'));
  expect(rig.reach('md0')).toEqual([MAPPED]);
  rig.expectAtRest();
});

test('HWPT_ALLOC for a mock device knows nesting and dirty tracking, and no other flag', () => {
  const rig = world(mock('md0'));
  const flags = [0x4n, 0x8n, 0x1_0000n, 0x3n, 0x1n, 0x2n];
  const answers = flags.map((bits) => rig.do(hwptFor('md0', 'ioas', bits)));
  const none = refused('EOPNOTSUPP');
  expect(answers).toEqual([none, none, none, OK, OK, OK]);
});

test('HWPT_ALLOC is ENOENT for a mock device that is gone, EINVAL for an IOAS that is', () => {
  // The number of the one is that of the other.
  const rig = world(other, destroy('other'), mock('md0'), remove('md0'), mock('md1'));
  expect(rig.do(hwptFor('md0'))).toEqual(refused('ENOENT'));
  expect(rig.do(hwptFor('md1', 'other'))).toEqual(refused('EINVAL'));
  rig.expectAtRest();
});

test('closing an iommufd takes its mock devices along, which do not keep it open', () => {
  const rig = world(mock('md0'), hwptFor('md0'), mock('md1', 'manual'), other, mock('md2', 'other'));
  rig.mapFile();
  rig.calls();
  rig.must({ do: 'iommufd_close', ctx: 'ctx' });
  expect(rig.calls().toSorted()).toEqual(['unmap ioas 0x1000000 0x4000', 'unmap manual 0x1000000 0x4000']);
  rig.expectAtRest();
  expect(rig.machine.contexts.size).toBe(0);
  expect(['md0', 'md1', 'md2'].map((dev) => rig.machine.domainOf(dev))).toEqual([undefined, undefined, undefined]);
});

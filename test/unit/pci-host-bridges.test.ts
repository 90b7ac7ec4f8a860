/**
 * Which host bridges pass DMA on, and how functions are numbered below them.
 *
 * Source: vfio-dmabuf 5.2
 */
import { describe, expect, test } from 'vitest';
import { MAP } from '../../impl/pci/map-type.ts';
import { HostBridge, type PciConfig, PciFunction } from '../../impl/pci/topology.ts';
import { cpuSupportsP2pdma, hostBridgeWhitelist } from '../../impl/pci/whitelist.ts';
import { OLD, Scene } from './pci-scene.ts';

const { THRU_HOST_BRIDGE, NOT_SUPPORTED } = MAP;

describe('the platform', () => {
  test.each([
    ['amd', 0x16, false],
    ['amd', 0x17, true],
    ['amd', 0x1a, true],
    ['intel', 0x17, false],
    ['other', 0x19, false],
  ] as const)('%s family %d passes DMA on: %s', (vendor, family, passes) => {
    expect(cpuSupportsP2pdma({ vendor, family })).toBe(passes);
  });
});

describe('the list of host bridges', () => {
  const INTEL = 0x8086;
  const host = (vendor: number, device: number, place: Partial<PciConfig> = {}): HostBridge => {
    const bridge = new HostBridge(OLD);
    new PciFunction({ name: 'root', parent: bridge, type: 'root port', vendor, device, ...place });
    return bridge;
  };

  test.each([
    [INTEL, 0x3c00, true, false],
    [INTEL, 0x3c01, true, false],
    [INTEL, 0x2f00, true, false],
    [INTEL, 0x2f01, true, false],
    [INTEL, 0x2030, true, true],
    [INTEL, 0x2031, true, true],
    [INTEL, 0x2032, true, true],
    [INTEL, 0x2033, true, true],
    [INTEL, 0x2034, false, false],
    [INTEL, 0x202f, false, false],
    [INTEL, 0x2020, true, true],
    [INTEL, 0x09a2, true, true],
    [INTEL, 0x29c0, false, false],
    [0x1ae0, 0x0042, true, true],
    [0x10de, 0x2f94, false, false],
    [0x10de, 0x2f95, true, true],
    [0x10de, 0x2f98, true, true],
    [0x10de, 0x2f99, false, false],
    [0x1022, 0x2030, false, false],
  ])('%i:%i is on it for itself: %s; for another that is on it: %s', (vendor, device, itself, another) => {
    const bridge = host(vendor, device);
    expect(hostBridgeWhitelist(bridge, bridge)).toBe(itself);
    const listed = host(INTEL, 0x2030);
    expect([hostBridgeWhitelist(bridge, listed), hostBridgeWhitelist(listed, bridge)]).toEqual([another, another]);
    expect(hostBridgeWhitelist(bridge, host(INTEL, 0x29c0))).toBe(false);
    expect(hostBridgeWhitelist(bridge, host(INTEL, 0x3c00))).toBe(false);
  });

  test.each([
    ['00.0, whatever it is', { devfn: 0, type: 'endpoint' }, true],
    ['a root port elsewhere', { devfn: 8, type: 'root port' }, true],
    ['an endpoint elsewhere', { devfn: 8, type: 'endpoint' }, false],
  ] as const)('takes the first function of the root bus if it is %s', (_, place, counts) => {
    const bridge = host(INTEL, 0x2030, place);
    new PciFunction({ name: 'second', parent: bridge, vendor: INTEL, device: 0x29c0 });
    expect(hostBridgeWhitelist(bridge, bridge)).toBe(counts);
  });

  test('takes no other function than the first, and none from an empty bus', () => {
    const bridge = host(INTEL, 0x29c0);
    new PciFunction({ name: 'second', parent: bridge, type: 'root port', vendor: INTEL, device: 0x2030 });
    const empty = new HostBridge(OLD);
    expect([hostBridgeWhitelist(bridge, bridge), hostBridgeWhitelist(empty, empty)]).toEqual([false, false]);
  });

  test.each([
    ['a', 'c', 0x3c00, 0x29c0, THRU_HOST_BRIDGE],
    ['a', 'd', 0x3c00, 0x2030, NOT_SUPPORTED],
    ['a', 'd', 0x2030, 0x3c00, NOT_SUPPORTED],
    ['a', 'd', 0x2030, 0x09a2, THRU_HOST_BRIDGE],
    ['a', 'd', 0x2030, 0x29c0, NOT_SUPPORTED],
  ])('decides from %s to %s, with host bridges %i and %i: %i', (from, to, mine, other, type) => {
    const scene = new Scene(OLD, { vendor: INTEL, device: mine }, { vendor: INTEL, device: other });
    expect(scene.type(from, to)).toBe(type);
    expect(scene.type(to, from)).toBe(type);
  });
});

describe('the hierarchy', () => {
  test('numbers buses and functions in the order of enumeration, from 0 for each host bridge', () => {
    const scene = new Scene(OLD);
    const where = (name: string): readonly number[] => [scene.of(name).bus, scene.of(name).devfn];
    expect(['root', 'root2', 'integrated', 'up', 'down', 'down2', 'a', 'a.1', 'b', 'c', 'd'].map(where)).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [3, 0],
      [3, 1],
      [4, 0],
      [4, 1],
      [5, 0],
      [2, 0],
      [1, 0],
    ]);
  });

  test('has one function in each place, and none below what is no port', () => {
    const scene = new Scene(OLD);
    expect(() => scene.add('twin', scene.of('down'), { devfn: 1 })).toThrow('twin: devfn 1 of bus 4 is taken');
    expect(() => scene.add('below', scene.of('a'))).toThrow('a is no port');
  });
});

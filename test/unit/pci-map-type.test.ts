/**
 * How DMA of one PCI function gets to another's memory, and what is kept of it.
 *
 * Source: vfio-dmabuf 5.2
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bytes, ZERO } from '../../impl/kernel/units.ts';
import { calcMapTypeAndDist, MAP, type MapType, pciP2pdmaMapType } from '../../impl/pci/map-type.ts';
import type { P2pdmaProvider } from '../../impl/pci/p2pdma.ts';
import type { PciFunction, Platform } from '../../impl/pci/topology.ts';
import { OLD, Scene, ZEN } from './pci-scene.ts';

const REDIRECT = { RR: 0x4, CR: 0x8, EC: 0x20 } as const;

/** A function that lends its memory, as `pcim_p2pdma_init()` leaves it. */
function lend(owner: PciFunction): P2pdmaProvider {
  const provider = { owner, busOffset: ZERO };
  owner.p2pdma = { mem: new Map([[0, provider]]), mapTypes: new Map() };
  return provider;
}

const { BUS_ADDR, THRU_HOST_BRIDGE, NOT_SUPPORTED } = MAP;
const NAMES = new Map<MapType, string>(Object.entries(MAP).map(([name, type]) => [type, name]));

describe('the decision', () => {
  const table: readonly (readonly [from: string, to: string, redirecting: string, platform: Platform, MapType])[] = [
    // Somebody in common, and nobody on the way who redirects.
    ['a', 'a', '', OLD, BUS_ADDR],
    ['a', 'a.1', '', OLD, BUS_ADDR],
    ['a', 'b', '', OLD, BUS_ADDR],
    ['a', 'b', '', ZEN, BUS_ADDR],
    ['a', 'b', 'root c d', OLD, BUS_ADDR],
    ['a', 'down', '', OLD, BUS_ADDR],
    ['down', 'a', '', OLD, BUS_ADDR],
    // Somebody on the way redirects: below the provider, at it, at the common ancestor, below the client, at it.
    ...['a', 'down', 'up', 'down2', 'b', 'a down up down2 b'].flatMap(
      (redirecting) =>
        [
          ['a', 'b', redirecting, ZEN, THRU_HOST_BRIDGE],
          ['a', 'b', redirecting, OLD, NOT_SUPPORTED],
        ] as const,
    ),
    // A function that redirects does so even to itself.
    ['a', 'a', 'a', ZEN, THRU_HOST_BRIDGE],
    ['a', 'a', 'a', OLD, NOT_SUPPORTED],
    ['a', 'a.1', 'down', ZEN, THRU_HOST_BRIDGE],
    ['a', 'a.1', 'down', OLD, NOT_SUPPORTED],
    ['a', 'a.1', 'up', OLD, BUS_ADDR],
    // Nobody in common: below two root ports, two host bridges, or on the root bus.
    ['a', 'c', '', ZEN, THRU_HOST_BRIDGE],
    ['a', 'c', '', OLD, NOT_SUPPORTED],
    ['a', 'd', '', ZEN, THRU_HOST_BRIDGE],
    ['a', 'd', '', OLD, NOT_SUPPORTED],
    ['integrated', 'a', '', OLD, NOT_SUPPORTED],
    ['root', 'root2', '', ZEN, THRU_HOST_BRIDGE],
  ];

  test.each(
    table.map(([from, to, redirecting, platform, type]) => ({
      ...{ from, to, redirecting, platform, vendor: platform.vendor, is: NAMES.get(type) },
    })),
  )(
    'from $from to $to, with redirection at "$redirecting", on $vendor, is $is',
    ({ from, to, redirecting, platform, is }) => {
      const scene = new Scene(platform).redirect(redirecting);
      expect(NAMES.get(scene.type(from, to))).toBe(is);
      expect(NAMES.get(scene.type(to, from)), 'the other way round').toBe(is);
    },
  );

  test.each([
    ['source validation', 0x1, BUS_ADDR],
    ['translation blocking', 0x2, BUS_ADDR],
    ['request redirect', REDIRECT.RR, NOT_SUPPORTED],
    ['completion redirect', REDIRECT.CR, NOT_SUPPORTED],
    ['upstream forwarding', 0x10, BUS_ADDR],
    ['egress control', REDIRECT.EC, NOT_SUPPORTED],
    ['direct translated', 0x40, BUS_ADDR],
  ])('the ACS bit for %s (0x%s) alone makes it %d', (_, bit, type) => {
    const scene = new Scene(OLD);
    scene.of('down').acs = bit;
    expect(scene.type('a', 'b')).toBe(type);
  });

  test('is the same from either side, wherever one stands and whoever redirects', () => {
    const scene = new Scene(OLD, { vendor: 0x8086, device: 0x3c00 });
    const names = [...scene.all.keys()];
    let pairs = 0;
    for (const redirecting of ['', ...names]) {
      scene.redirect(redirecting);
      for (const from of names) {
        for (const to of names) {
          expect(scene.type(from, to), `${from}, ${to}`).toBe(scene.type(to, from));
          pairs++;
        }
      }
      for (const each of scene.all.values()) each.acs = 0;
    }
    expect(pairs).toBe(13 * 144);
  });

  test('asks the DMA API when it is the host bridge, and the numbers are those of the kernel', () => {
    expect(MAP).toEqual({ UNKNOWN: 0, NONE: 1, NOT_SUPPORTED: 2, BUS_ADDR: 3, THRU_HOST_BRIDGE: 4 });
  });
});

describe('the distance', () => {
  test.each([
    ['a', 'a', 0],
    ['a', 'a.1', 2],
    ['a', 'b', 4],
    ['a', 'down', 1],
    ['down', 'a', 1],
    ['a', 'up', 2],
    ['a', 'c', 6],
  ])('from %s to %s is %d links', (from, to, distance) => {
    const scene = new Scene(OLD);
    expect(calcMapTypeAndDist(scene.of(from), scene.of(to)).distance).toBe(distance);
    expect(calcMapTypeAndDist(scene.of(to), scene.of(from)).distance).toBe(distance);
  });
});

describe('what was found out', () => {
  let scene: Scene;
  let provider: P2pdmaProvider;
  const ask = (client: string): MapType => pciP2pdmaMapType(provider, scene.of(client));

  beforeEach(() => {
    scene = new Scene(OLD);
    provider = lend(scene.of('a'));
  });

  test('is kept for each client, and not asked again when ACS changes later', () => {
    expect([ask('b'), ask('c')]).toEqual([BUS_ADDR, NOT_SUPPORTED]);
    scene.redirect('up');
    expect([ask('b'), ask('c')]).toEqual([BUS_ADDR, NOT_SUPPORTED]);
    expect(scene.type('a', 'b'), 'whoever computes it anew').toBe(NOT_SUPPORTED);
    expect(ask('b'), 'sees it, and so do all others').toBe(NOT_SUPPORTED);
  });

  test('stands in the function of the provider under segment, bus and devfn of the client', () => {
    ask('b');
    ask('a.1');
    ask('d');
    const { bus } = scene.of('b');
    expect(scene.of('a').p2pdma?.mapTypes).toEqual(
      new Map([
        [bus * 0x100, BUS_ADDR],
        [scene.of('a').bus * 0x100 + 1, BUS_ADDR],
        [0x10000 + scene.of('d').bus * 0x100, NOT_SUPPORTED],
      ]),
    );
    expect(scene.of('b').p2pdma).toBeUndefined();
  });

  test('is asked of each provider anew, of all BARs of a function together', () => {
    ask('b');
    scene.redirect('up');
    expect(pciP2pdmaMapType({ owner: scene.of('a'), busOffset: bytes(0x1000) }, scene.of('b'))).toBe(BUS_ADDR);
    expect(pciP2pdmaMapType(lend(scene.of('a.1')), scene.of('b'))).toBe(NOT_SUPPORTED);
  });

  test('is not kept when the driver of the provider has gone, and all is unsupported', () => {
    ask('b');
    const { mapTypes } = scene.of('a').p2pdma ?? { mapTypes: new Map() };
    mapTypes.clear();
    scene.of('a').p2pdma = undefined;
    expect(ask('b')).toBe(NOT_SUPPORTED);
    expect(scene.type('a', 'b')).toBe(BUS_ADDR);
    expect(mapTypes.size).toBe(0);
    expect(scene.of('a').p2pdma).toBeUndefined();
  });

  test('of a device that is no PCI function is that it is unsupported, and nothing is kept', () => {
    expect(pciP2pdmaMapType(provider, { name: 'iommufd' })).toBe(NOT_SUPPORTED);
    expect(scene.of('a').p2pdma?.mapTypes.size).toBe(0);
  });
});

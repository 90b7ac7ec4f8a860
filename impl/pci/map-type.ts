/**
 * How DMA of one function gets to the memory of another: by the switch that they share, by the host bridge, or not at
 * all.
 *
 * Source: drivers/pci/p2pdma.c; vfio-dmabuf 5.2
 */
import { match, P } from 'ts-pattern';
import type { P2pdmaProvider } from './p2pdma.ts';
import { isPci, PCI_ACS_CR, PCI_ACS_EC, PCI_ACS_RR, type PciFunction } from './topology.ts';
import { cpuSupportsP2pdma, hostBridgeWhitelist } from './whitelist.ts';

/** `pci_p2pdma_map_type`. Two are of other callers: one that is not known yet, and memory that is no peer's. */
export const MAP = { UNKNOWN: 0, NONE: 1, NOT_SUPPORTED: 2, BUS_ADDR: 3, THRU_HOST_BRIDGE: 4 } as const;
export type MapType = (typeof MAP)[keyof typeof MAP];

/** `pci_p2pdma_map_type()`: worked out once for each client of a provider's function, and kept. */
export function pciP2pdmaMapType({ owner }: P2pdmaProvider, dev: object): MapType {
  const { p2pdma } = owner;
  if (p2pdma === undefined || !isPci(dev)) return MAP.NOT_SUPPORTED;
  return p2pdma.mapTypes.get(mapTypesIdx(dev)) ?? calcMapTypeAndDist(owner, dev).type;
}

/** `map_types_idx()`: the segment, the bus, and the devfn of a client. */
const mapTypesIdx = ({ host, bus, devfn }: PciFunction): number => host.domain * 2 ** 16 + bus * 2 ** 8 + devfn;

/**
 * `calc_map_type_and_dist()`: the way from one function to the other. What it finds out is kept with the provider's
 * function, unless its driver has gone meanwhile.
 */
export function calcMapTypeAndDist(provider: PciFunction, client: PciFunction): { type: MapType; distance: number } {
  const { common, redirected, distance } = wayBetween(provider, client);
  const type = typeOf(common, redirected, hostBridgePasses(provider, client));
  provider.p2pdma?.mapTypes.set(mapTypesIdx(client), type);
  return { type, distance };
}

/** The decision. */
const typeOf = (common: boolean, redirected: boolean, hostBridgePasses: boolean): MapType =>
  match([common, redirected, hostBridgePasses])
    .returnType<MapType>()
    .with([true, false, P.boolean], () => MAP.BUS_ADDR)
    .with([true, true, true], () => MAP.THRU_HOST_BRIDGE)
    .with([true, true, false], () => MAP.NOT_SUPPORTED)
    .with([false, P.boolean, true], () => MAP.THRU_HOST_BRIDGE)
    .with([false, P.boolean, false], () => MAP.NOT_SUPPORTED)
    .exhaustive();

const hostBridgePasses = (a: PciFunction, b: PciFunction): boolean =>
  cpuSupportsP2pdma(a.host.platform) || hostBridgeWhitelist(a.host, b.host);

interface Way {
  /** They have an ancestor in common, or one is the other's. */
  readonly common: boolean;
  /** Somebody on the way, the ends and the ancestor included, sends DMA to peers up to the host bridge. */
  readonly redirected: boolean;
  /** In links: 0 to itself, 2 to another function of the device, 4 across a switch. */
  readonly distance: number;
}

/** The way up from `a` to the first node that `b` is at or below, and down from there. */
function wayBetween(a: PciFunction, b: PciFunction): Way {
  const up = pathUp(a);
  const down = pathUp(b);
  const above = up.findIndex((node) => down.includes(node));
  if (above < 0) return { common: false, redirected: false, distance: up.length + down.length };
  const below = down.indexOf(up[above] as PciFunction);
  const nodes = [...up.slice(0, above + 1), ...down.slice(0, below)];
  return { common: true, redirected: nodes.some(hasAcsRedir), distance: above + below };
}

/** The function itself, and every port above it. */
function pathUp(from: PciFunction): PciFunction[] {
  const path: PciFunction[] = [];
  for (let node: PciFunction | undefined = from; node !== undefined; node = node.upstream) path.push(node);
  return path;
}

/** `pci_bridge_has_acs_redir()`, which is asked of endpoints, too. */
const hasAcsRedir = ({ acs }: PciFunction): boolean => (acs & (PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_EC)) !== 0;

/**
 * Map types of random hierarchies against an oracle that sends a packet: up from the sender, until a port that does not
 * redirect has the receiver below it. What a switch may carry is what it carries both ways, requests and completions.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { calcMapTypeAndDist, MAP, type MapType } from '../../impl/pci/map-type.ts';
import { HostBridge, type PcieType, PciFunction } from '../../impl/pci/topology.ts';
import { seedOr } from './seed.ts';

const SEED = seedOr(20261120);
const MACHINES = 3000;

/** What the first function of a root bus may be: listed, listed for its own host bridge only, not listed. */
const ROOTS = [
  { id: [0x8086, 0x2030], passes: 'to all' },
  { id: [0x8086, 0x3c01], passes: 'to itself' },
  { id: [0x8086, 0x29c0], passes: 'nothing' },
] as const;
type Root = (typeof ROOTS)[number];

const nodeOf = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 3 }));
const machineOf = fc.tuple(fc.boolean(), fc.nat(2), fc.nat(2), fc.array(nodeOf, { minLength: 2, maxLength: 11 }));

interface Machine {
  readonly zen: boolean;
  readonly roots: readonly (readonly [HostBridge, Root])[];
  readonly nodes: readonly PciFunction[];
}

/** Each node stands below a port or a host bridge that is there already. Most have no ACS bit. */
function build([zen, first, second, drawn]: typeof machineOf extends fc.Arbitrary<infer T> ? T : never): Machine {
  const roots = [first, second].map((choice, domain) => {
    const host = new HostBridge({ vendor: zen ? 'amd' : 'other', family: 0x19 }, domain);
    return [host, ROOTS[choice] as Root] as const;
  });
  const nodes: PciFunction[] = [];
  for (const [above, acs, sparse] of drawn) {
    const parents = [...roots.map(([host]) => host), ...nodes.filter(({ type }) => type !== 'endpoint')];
    const parent = parents[above % parents.length] as HostBridge | PciFunction;
    const onRootBus = parent instanceof HostBridge;
    const type: PcieType = above % 3 === 0 ? 'endpoint' : onRootBus ? 'root port' : 'downstream port';
    const [vendor, device] = (roots.find(([host]) => host === parent)?.[1] ?? ROOTS[2]).id;
    nodes.push(
      new PciFunction({ name: `n${nodes.length}`, parent, type, vendor, device, acs: sparse === 0 ? acs : 0 }),
    );
  }
  return { zen, roots, nodes };
}

const contains = (node: PciFunction, searched: PciFunction): boolean =>
  node === searched || node.below.some((each) => contains(each, searched));

/** Whether a switch turns it round. */
function staysBelow(from: PciFunction, to: PciFunction): boolean {
  for (let node: PciFunction | undefined = from; node !== undefined; node = node.upstream) {
    if ([0x04, 0x08, 0x20].some((bit) => (node?.acs ?? 0) & bit)) return false;
    if (contains(node, to)) return true;
  }
  return false;
}

function expected({ zen, roots }: Machine, a: PciFunction, b: PciFunction): MapType {
  if (staysBelow(a, b) && staysBelow(b, a)) return MAP.BUS_ADDR;
  const [ofA, ofB] = [a, b].map(({ host }) => roots.find(([each]) => each === host)?.[1].passes);
  const passes = a.host === b.host ? ofA !== 'nothing' : ofA === 'to all' && ofB === 'to all';
  return zen || passes ? MAP.THRU_HOST_BRIDGE : MAP.NOT_SUPPORTED;
}

test('map types of random hierarchies are those of packets that are sent, and the same from either side', () => {
  const seen = new Map<MapType, number>();
  const check = (drawn: Parameters<typeof build>[0]): void => {
    const machine = build(drawn);
    for (const a of machine.nodes) {
      for (const b of machine.nodes) {
        const { type } = calcMapTypeAndDist(a, b);
        const right = expected(machine, a, b);
        if (type !== right) throw new Error(`from ${a.name} to ${b.name} is ${type}, and not ${right}`);
        if (calcMapTypeAndDist(b, a).type !== type) throw new Error(`${a.name} and ${b.name} disagree`);
        seen.set(type, (seen.get(type) ?? 0) + 1);
      }
    }
  };
  fc.assert(fc.property(machineOf, check), { seed: SEED, numRuns: MACHINES });
  const [bus, host, none] = [MAP.BUS_ADDR, MAP.THRU_HOST_BRIDGE, MAP.NOT_SUPPORTED].map((type) => seen.get(type) ?? 0);
  console.log(`seed ${SEED}: ${MACHINES} hierarchies, ${bus} pairs by bus, ${host} by host bridge, ${none} not at all`);
  expect(Math.min(bus ?? 0, host ?? 0, none ?? 0)).toBeGreaterThan(MACHINES);
});

/** How an importer gets to the memory: V-44 and V-45. */
import { check, edit, proof, type Row, type Test, test } from './row.ts';

const TABLE = 'impl/dmabuf/sg-table.ts';
const MAP_TYPE = 'impl/pci/map-type.ts';
const WHITELIST = 'impl/pci/whitelist.ts';
const PROVIDERS = 'impl/pci/p2pdma.ts';
const PROBE = 'impl/vfio/pci-probe.ts';
const EXPORTER = 'impl/vfio/pci-dmabuf.ts';
const TYPE_TEST = 'test/unit/pci-map-type.test.ts';
const VFIO_TEST = 'test/unit/vfio-p2pdma.test.ts';

const DECISION = 'from $from to $to, with redirection at "$redirecting", on $vendor, is $is';
const decision = (from: string, to: string, redirecting: string, vendor: string, is: string): Test =>
  test(
    TYPE_TEST,
    `the decision from ${from} to ${to}, with redirection at "${redirecting}", on ${vendor}, is ${is}`,
    'the decision',
    DECISION,
  );

const REFUSED = 'for a device %s is EINVAL, takes no token, and attach was allowed';
const refused = (what: string): Test =>
  test(VFIO_TEST, `a map for a device ${what} is EINVAL, takes no token, and attach was allowed`, 'a map', REFUSED);

export const peerToPeer: readonly Row[] = [
  {
    id: 'V-44',
    says: 'Hierarchy, ACS and platform alone decide how DMA gets there; not at all is EINVAL of map, not of attach.',
    checks: [
      check('property', TYPE_TEST, 'table'),
      check('property', 'test/properties/pci-map-type.test.ts', 'staysBelow'),
      check('refusal', TABLE, 'pathTo'),
    ],
    proofs: [
      proof(
        'redirection at the provider itself does not count',
        edit(MAP_TYPE, 'up.slice(0, above + 1)', 'up.slice(1, above + 1)'),
        decision('a', 'a', 'a', 'intel', 'NOT_SUPPORTED'),
      ),
      proof(
        'redirection at the common ancestor does not count',
        edit(MAP_TYPE, 'up.slice(0, above + 1)', 'up.slice(0, above)'),
        decision('a', 'b', 'up', 'intel', 'NOT_SUPPORTED'),
      ),
      proof(
        'redirection below the client does not count',
        edit(MAP_TYPE, '...down.slice(0, below)', '...down.slice(0, 0 * below)'),
        decision('a', 'b', 'down2', 'intel', 'NOT_SUPPORTED'),
      ),
      proof(
        'egress control does not count',
        edit(MAP_TYPE, '(PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_EC)', '(PCI_ACS_RR | PCI_ACS_CR)'),
        test(
          TYPE_TEST,
          'the decision the ACS bit for egress control (0x32) alone makes it 2',
          'the decision',
          'the ACS bit for %s (0x%s) alone makes it %d',
        ),
      ),
      proof(
        'what was found out is not kept',
        edit(MAP_TYPE, '  provider.p2pdma?.mapTypes.set(mapTypesIdx(client), type);\n', ''),
        test(
          TYPE_TEST,
          'what was found out is kept for each client, and not asked again when ACS changes later',
          'what was found out',
          'is kept for each client, and not asked again when ACS changes later',
        ),
      ),
      proof(
        'clients of different segments are taken for each other',
        edit(MAP_TYPE, 'host.domain * 2 ** 16 + bus', '0 * host.domain + bus'),
        test(
          TYPE_TEST,
          'what was found out stands in the function of the provider under segment, bus and devfn of the client',
          'what was found out',
          'stands in the function of the provider under segment, bus and devfn of the client',
        ),
      ),
      proof(
        'a host bridge that is listed for itself alone passes DMA on to another',
        edit(WHITELIST, 'entry !== undefined && entry.sameHostBridge !== true', 'entry !== undefined'),
        test(
          'test/unit/pci-host-bridges.test.ts',
          'the list of host bridges decides from a to d, with host bridges 15360 and 8240: 2',
          'the list of host bridges',
          'decides from %s to %s, with host bridges %i and %i: %i',
        ),
      ),
      proof(
        'a device that is no PCI function is refused at attach',
        edit(
          EXPORTER,
          "    if (!attachment.peer2peer) return 'EOPNOTSUPP';",
          "    if (!attachment.peer2peer || !('host' in attachment.dev)) return 'EOPNOTSUPP';",
        ),
        refused('that is no PCI function'),
      ),
      proof(
        'the token is taken whether the map succeeds or not',
        edit(EXPORTER, 'if (!isErrno(table)) priv.kref.get();', 'priv.kref.get();'),
        refused('behind a redirecting port'),
      ),
    ],
  },
  {
    id: 'V-45',
    says: 'There is a provider for each memory BAR that can be mapped, with the bus offset of its own.',
    checks: [check('refusal', PROVIDERS, 'pcimP2pdmaProvider'), check('splat', PROVIDERS, 'a provider is asked for')],
    proofs: [
      proof(
        'all BARs of a device have the bus offset of the first',
        edit(
          PROVIDERS,
          'busOffset: subWrapping(bytes(busAddress), bytes(phys)) }',
          'busOffset: [...mem.values()][0]?.busOffset ?? subWrapping(bytes(busAddress), bytes(phys)) }',
        ),
        test(
          VFIO_TEST,
          "a map of a buffer of BAR 4 uses that BAR's bus offset",
          'a map',
          "of a buffer of BAR %d uses that BAR's bus offset",
        ),
      ),
      proof(
        'BARs that cannot be mapped have providers',
        edit(PROVIDERS, "  if (pdev.nonMappableBars) return 'EOPNOTSUPP';\n", ''),
        test(
          VFIO_TEST,
          'providers are not there when no BAR can be mapped, and nothing of it is exported, but the device works',
          'providers',
          'are not there when no BAR can be mapped, and nothing of it is exported, but the device works',
        ),
      ),
      proof(
        'a function without providers is none for vfio-pci',
        edit(PROBE, "return failed === 'EOPNOTSUPP' ? undefined : failed;", 'return failed;'),
        test(
          VFIO_TEST,
          'the probe tolerates that no BAR can be mapped',
          'the probe',
          'tolerates that no BAR can be mapped',
        ),
      ),
      proof(
        'the probe tolerates whatever fails',
        edit(PROBE, "return failed === 'EOPNOTSUPP' ? undefined : failed;", 'return failed && undefined;'),
        test(
          VFIO_TEST,
          'the probe fails when there is no memory for providers',
          'the probe',
          'fails when there is no memory for providers',
        ),
      ),
    ],
  },
];

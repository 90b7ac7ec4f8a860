/**
 * What differs between kernel versions: the one table. Its rows are those of the version table (iommufd 0.1), V1 to
 * V15, as far as they change what can be seen here, and those of an unmerged series (vfio-dmabuf 0.2); everything else
 * behaves the same in all versions. A switch is off in every version before the one that it says.
 *
 * Not here, because nothing of it shows:
 * - V1 and V2 are names: of the importer's callback, and of the struct with the physical range.
 * - V8 was repaired before 6.19 was released.
 * - V12, V14: no step makes those system calls.
 * - V13 is what the test exporter's ioctl returns; a trace names the descriptor that it installs, however it was found.
 * - V15: the mock page table is the same in all of them.
 */

interface Row {
  /** Of the version table; the series has rows of no number in it. */
  readonly row: `V${number}` | 'series';
  /** The first version that has it on, or `v4`: no version, but the profiles of the series. */
  readonly since: string;
  /** The profile that has it off all the same. */
  readonly not?: Profile;
}

/**
 * What was never released: 7.3 with the series "vfio/pci: Add mmap() for DMABUFs" in its fourth posting. Where that
 * leaves mappings of BARs alone (vfio-dmabuf 6.9), `v4` does what is recommended, and `v4-literal` what is written.
 */
const PROFILES = ['v4', 'v4-literal'] as const;
type Profile = (typeof PROFILES)[number];
const SERIES_BASE = '7.3';

const SWITCHES = {
  /** The importer pins its attachment before it asks where the memory lies, and unpins it in the end. */
  importerPins: { row: 'V3', since: '7.1' },
  /** It unpins under dma_resv; before, every release is a splat. */
  unpinHoldsResv: { row: 'V4', since: '7.1.5' },
  /** A pages object's mutex is destroyed after the detach; before, a revoke in between takes a destroyed one. */
  mutexOutlivesDetach: { row: 'V5', since: '7.1.5' },
  /** Pinning an area of a dma-buf for an access is EINVAL; before, it pins whatever an address that is none names. */
  accessRejectsDmabuf: { row: 'V6', since: '7.2' },
  /** UNMAP goes on behind what it removed; before, it starts over, and meets who has mapped there since. */
  unmapMovesUp: { row: 'V7', since: '7.1' },
  /**
   * A second domain, or a copy, of a dma-buf that is in some domain already asks the buffer; before, the pages are read
   * back from that domain as if they were RAM, which loses the MMIO attribute and splits the calls of a mixed range.
   */
  dmabufKeepsMmio: { row: 'V9', since: '7.3' },
  /** HWPT_GET_DIRTY_BITMAP of no length is EINVAL. */
  dirtyLengthChecked: { row: 'V10', since: '7.3' },
  /** A revoke by vfio-pci waits for fences and for every map; before, it tells the importers and returns. */
  revokeDrains: { row: 'V11', since: '7.1' },
  /** An importer that cannot be told of a revoke may not attach to a buffer of vfio-pci. */
  attachNeedsRevocable: { row: 'V11', since: '7.1' },
  /** The CPU may map a buffer of vfio-pci, and what it maps of a BAR is a buffer, too. */
  mapsBuffers: { row: 'series', since: 'v4' },
  /** mmap of a buffer that is revoked for now is ENODEV; off, it succeeds, and a touch is SIGBUS. */
  mmapNeedsUsable: { row: 'series', since: 'v4' },
  /** The user may revoke one buffer for good, and say how mappings of it treat the memory. */
  revokesForGood: { row: 'series', since: 'v4' },
  /** Buffers are revoked before BARs are zapped, with the function in D0, and BARs only for a driver that needs it. */
  buffersFirst: { row: 'series', since: 'v4' },
  /** Importers are not called when a buffer is given back. */
  restoresSilently: { row: 'series', since: 'v4' },
  /** A revoke takes the entries of every mapping of the buffer; off, of those that lie in pages 0 to its size. */
  zapsEveryMapping: { row: 'series', since: 'v4', not: 'v4-literal' },
} as const satisfies Readonly<Record<string, Row>>;

export type Feature = keyof typeof SWITCHES;
export type Features = { readonly [F in Feature]: boolean };

/** The kernel that is meant when nobody says. */
export const DEFAULT_KERNEL = '7.2';
/** The first with dma-bufs in IOMMU_IOAS_MAP_FILE. */
export const FIRST_KERNEL = '6.19';

/** Every machine asks, and there are few answers. */
const known = new Map<string, Features | undefined>();

/**
 * The features of a version such as `7.2.13`, or of a profile such as `v4`; undefined for what is neither, or has no
 * dma-bufs here.
 */
export function featuresOf(version: string): Features | undefined {
  if (!known.has(version)) known.set(version, featuresSince(version));
  return known.get(version);
}

function featuresSince(version: string): Features | undefined {
  const profile = PROFILES.find((name) => name === version);
  const wanted = parse(profile === undefined ? version : SERIES_BASE);
  if (wanted === undefined || isBefore(wanted, FIRST_KERNEL)) return undefined;
  const on = Object.entries<Row>(SWITCHES).map(([feature, { since, not }]) => [
    feature,
    since === 'v4' ? profile !== undefined && profile !== not : !isBefore(wanted, since),
  ]);
  return Object.fromEntries(on);
}

export const DEFAULT_FEATURES = featuresOf(DEFAULT_KERNEL) as Features;

type Version = readonly [major: number, minor: number, patch: number];

/** `7.2` is the release itself, 7.2.0. */
function parse(version: string): Version | undefined {
  const [, major, minor, patch = '0'] = /^(\d+)\.(\d+)(?:\.(\d+))?$/.exec(version) ?? [];
  return minor === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
}

function isBefore(version: Version, since: string): boolean {
  const other = parse(since) as Version;
  const at = version.findIndex((part, i) => part !== other[i]);
  return at >= 0 && (version[at] as number) < (other[at] as number);
}

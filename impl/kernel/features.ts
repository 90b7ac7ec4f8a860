/** What differs between kernel versions, one row each; the behaviour of anything else is the same in all of them. */

export interface Features {
  /**
   * V9: what a domain or a copy of a dma-buf is filled from when its pages are in some domain already. 7.3 asks the
   * dma-buf; before, they are read back from the domain as if they were RAM, which loses the MMIO attribute and splits
   * the calls of a mixed range.
   */
  readonly dmabufKeepsMmio: boolean;
}

/** The kernel that is meant when nobody says. */
export const DEFAULT_KERNEL = '7.2';

/** The features of a version such as `7.2.13`; undefined for what is no version. */
export function featuresOf(version: string): Features | undefined {
  const parts = /^(\d+)\.(\d+)/.exec(version);
  if (parts === null) return undefined;
  const [major, minor] = [Number(parts[1]), Number(parts[2])];
  return { dmabufKeepsMmio: major > 7 || (major === 7 && minor >= 3) };
}

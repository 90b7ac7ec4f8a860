/** How a mapping treats the memory behind it: `pgprot_t`, without the permissions. */

/** What x86 calls the type of the memory: write-back, write-combining, uncached. */
export type MemoryType = 'WB' | 'WC' | 'UC';

export interface Pgprot {
  readonly type: MemoryType;
  /** With memory encryption the CPU encrypts what it writes; no device could read that. */
  readonly encrypted: boolean;
}

/** Ordinary memory. */
export const PAGE_SHARED: Pgprot = { type: 'WB', encrypted: true };

/** pgprot_noncached() */
export const pgprotNoncached = (prot: Pgprot): Pgprot => ({ ...prot, type: 'UC' });
/** pgprot_writecombine() */
export const pgprotWritecombine = (prot: Pgprot): Pgprot => ({ ...prot, type: 'WC' });
/** pgprot_decrypted() */
export const pgprotDecrypted = (prot: Pgprot): Pgprot => ({ ...prot, encrypted: false });

export const samePgprot = (a: Pgprot, b: Pgprot): boolean => a.type === b.type && a.encrypted === b.encrypted;

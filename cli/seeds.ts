/** The seed of a batch; batch 0 has the seed itself. */
export const seedOf = (seed: number, batch: number): number => (seed + Math.imul(batch, 0x9e3779b1)) | 0;

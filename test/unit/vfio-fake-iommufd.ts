/** Stands in for impl/iommufd/device.ts where a test is about VFIO alone: remembers what VFIO asked of iommufd. */
import type { DmaDevice, IommuGroup } from '../../impl/iommu/group.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import { File } from '../../impl/kernel/file.ts';
import type { Thread } from '../../impl/kernel/thread.ts';

/** What the fake was asked, and what it does the next time. */
export class FakeCtx {
  readonly log: string[] = [];
  readonly groups = new Set<IommuGroup>();
  /** The answer to the next bind or attach, once. */
  refusal: Errno | undefined;

  note(what: string): Errno | undefined {
    this.log.push(what);
    const refusal = this.refusal;
    this.refusal = undefined;
    return refusal;
  }
}

interface FakeDevice {
  readonly ctx: FakeCtx;
  readonly dev: DmaDevice;
}

export function fakeIommufd(name: string): File {
  const ctx = new FakeCtx();
  return new File(name, ctx, function* (): Thread {
    ctx.note('release');
  });
}

export const ctxOf = (file: File): FakeCtx | undefined => (file.what instanceof FakeCtx ? file.what : undefined);

export const ctxHasGroup = (ctx: FakeCtx, group: IommuGroup): boolean => ctx.groups.has(group);

export function* iommufdDeviceBind(ctx: FakeCtx, dev: DmaDevice): Thread<FakeDevice | Errno> {
  const refused = ctx.note(`bind ${dev.name}`);
  if (refused !== undefined) return refused;
  if (dev.group.owner !== undefined && dev.group.owner !== ctx) return 'EPERM';
  dev.group.owner = ctx;
  ctx.groups.add(dev.group);
  return { ctx, dev };
}

export function* iommufdDeviceUnbind({ ctx, dev }: FakeDevice): Thread {
  ctx.note(`unbind ${dev.name}`);
}

export function* iommufdDeviceAttach({ ctx, dev }: FakeDevice, ptId: number): Thread<Errno | undefined> {
  return ctx.note(`attach ${dev.name} to ${ptId}`);
}

export function* iommufdDeviceReplace({ ctx, dev }: FakeDevice, ptId: number): Thread<Errno | undefined> {
  return ctx.note(`replace ${dev.name} to ${ptId}`);
}

export function* iommufdDeviceDetach({ ctx, dev }: FakeDevice): Thread {
  ctx.note(`detach ${dev.name}`);
}

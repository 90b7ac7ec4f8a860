/** System calls of a test build: mock devices, and the test exporter of dma-bufs. */
import type { Result } from '../trace/answer.ts';
import type { MockDmabuf, MockDomain, MockRevoke } from '../trace/command.ts';
import { answerOf, DONE, enter, fdOf, leave } from './handles.ts';
import { IommuGroup } from './iommu/group.ts';
import type { Hwpt } from './iommufd/hw-pagetable.ts';
import { iommufdTestMockDomain, MockDevice } from './iommufd/selftest.ts';
import { iommufdTestDmabufGet, iommufdTestDmabufRevoke } from './iommufd/selftest-dmabuf.ts';
import { isErrno } from './kernel/errno.ts';
import { shouldFail, type Thread } from './kernel/thread.ts';
import { fromBigint } from './kernel/units.ts';
import type { Machine, NamedFd } from './machine.ts';

/** A new mock device; `as` is a name for the HWPT that it is attached to, which may have others. */
export function* mockDomain(machine: Machine, { ioas, as, dev }: MockDomain): Thread<Result> {
  const pt = enter(machine, ioas);
  if (isErrno(pt)) return { err: pt };
  const device = new MockDevice(dev, new IommuGroup(machine.groups++), machine.reserved);
  const made = yield* iommufdTestMockDomain(pt.ctx, pt.id, device);
  if (isErrno(made)) return leave(pt.ctx, { err: made });
  if (shouldFail('copy_to_user')) {
    yield* pt.ctx.destroy(made.id);
    return leave(pt.ctx, { err: 'EFAULT' });
  }
  const { ctx } = machine.names.get(ioas) as { ctx: NamedFd };
  machine.names.set(dev, { kind: 'object', ctx, object: made });
  machine.names.set(as, { kind: 'object', ctx, object: made.idev.igroup.hwpt as Hwpt });
  machine.mocks.set(dev, device);
  return leave(pt.ctx, DONE);
}

export function mockDmabuf(machine: Machine, { as, length }: MockDmabuf): Result {
  const fd = iommufdTestDmabufGet(as, fromBigint(length), machine.ram, machine.fds);
  if (isErrno(fd)) return { err: fd };
  machine.names.set(as, { kind: 'file', fd });
  return DONE;
}

export function* mockRevoke(machine: Machine, { fd, revoked }: MockRevoke): Thread<Result> {
  return answerOf(yield* iommufdTestDmabufRevoke(machine.fds, fdOf(machine, fd, 'file'), revoked));
}

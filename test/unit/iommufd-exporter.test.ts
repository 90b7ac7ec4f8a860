/** What iommufd asks of an exporter, in which order, and what it gives back when it is refused. Source: iommufd 3.2 */
import { describe, expect, test } from 'vitest';
import type { Attachment } from '../../impl/dmabuf/attachment.ts';
import { type DmaBuf, type DmaBufOps, dmaBufExport, dmaBufFd } from '../../impl/dmabuf/dma-buf.ts';
import { FIXED_IOVA, ioasMapFile, READABLE } from '../../impl/iommufd/ioas.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, ZERO } from '../../impl/kernel/units.ts';
import { A, at, attached, CONFIG, OK, Rig, removed } from './iommufd-rig.ts';

/** Another driver's exporter, which writes down what it is asked, and whether the lock is held. */
class Exporter implements DmaBufOps {
  readonly log: string[] = [];
  attachAnswer: Errno | undefined;
  pinAnswer: Errno | undefined;

  attach(): Errno | undefined {
    this.log.push('attach');
    return this.attachAnswer;
  }
  detach(dmabuf: DmaBuf): void {
    this.log.push(`detach ${dmabuf.resv.locked}`);
  }
  pin({ dmabuf }: Attachment): Errno | undefined {
    this.log.push(`pin ${dmabuf.resv.locked}`);
    return this.pinAnswer;
  }
  unpin({ dmabuf }: Attachment): void {
    this.log.push(`unpin ${dmabuf.resv.locked}`);
  }
  mapDmaBuf(): Errno {
    this.log.push('DMA API');
    return 'EINVAL';
  }
  unmapDmaBuf(): void {}
  *release(): Thread {}
}

/** Export 16 KiB, and MAP_FILE them at A, where something is already. */
function mapForeign(exporter: Exporter, kernel?: string): { answer: unknown; dmabuf: DmaBuf; rig: Rig } {
  const rig = attached([{ do: 'mem_alloc', as: 'm', length: 0x1000n }], kernel);
  rig.map('m', 0x1000n, { iova: A });
  const { machine } = rig;
  const ioas = rig.ioas();
  function* exporting(): Thread<DmaBuf> {
    const dmabuf = dmaBufExport('foreign', 0x4000, exporter, undefined);
    if (isErrno(dmabuf)) throw new Error(`export answers ${dmabuf}`);
    dmaBufFd(dmabuf, machine.fds);
    return dmabuf;
  }
  const dmabuf = rig.call(exporting());
  const fd = [...Array(99).keys()].find((n) => machine.fds.lookup(n) === dmabuf.file) ?? -1;
  const args = { flags: FIXED_IOVA | READABLE, length: fromBigint(0x4000n), iova: fromBigint(A) };
  const answer = rig.call(ioasMapFile(ioas.ctx, ioas.id, args, fd, ZERO, machine.fds, machine.ram));
  return { answer, dmabuf, rig };
}

describe('MAP_FILE of a buffer that another driver exports', () => {
  test.each<[what: string, exporter: Partial<Exporter>, answer: Errno, log: string[]]>([
    ['at attach', { attachAnswer: 'EBUSY' }, 'EBUSY', ['attach']],
    ['at pin', { pinAnswer: 'ENOSPC' }, 'ENOSPC', ['attach', 'pin true', 'detach false']],
    ['because it is no device memory (G-19)', {}, 'EOPNOTSUPP', ['attach', 'pin true', 'unpin true', 'detach false']],
  ])('is refused %s, before its place is looked at, and gives all back', (_, refusing, answer, log) => {
    const exporter = Object.assign(new Exporter(), refusing);
    const mapped = mapForeign(exporter);
    expect([mapped.answer, exporter.log]).toEqual([answer, log]);
    expect([mapped.dmabuf.attachments, mapped.dmabuf.file.refs.count]).toEqual([[], 1]);
    mapped.rig.expectAtRest();
  });

  test.each<[kernel: string, log: string[]]>([
    ['6.19', ['attach', 'detach false']],
    ['7.0', ['attach', 'detach false']],
    ['7.1', ['attach', 'pin true', 'unpin true', 'detach false']],
  ])('V3: is asked on %s for %j, and refused', (kernel, log) => {
    const exporter = new Exporter();
    expect([mapForeign(exporter, kernel).answer, exporter.log]).toEqual(['EOPNOTSUPP', log]);
  });
});

test('MAP_FILE of 16 TiB is EINVAL, of a page less is not, when a BAR is that large', () => {
  const TIB = 2n ** 40n;
  const devices = new Map([
    ...CONFIG.devices,
    ['dev0', { bars: new Map([[2, 32n * TIB]]), group: 0, bus: 1, resets: ['flr'] as const }],
  ]);
  const rig = new Rig({ ...CONFIG, devices });
  rig.export('huge', [[0n, 32n * TIB]]);
  const length = 0xffff_ffffn * 0x1000n;
  expect(rig.mapFile({ fd: 'huge', length, iova: 0n })).toEqual({ err: 'EINVAL' });
  expect(rig.mapFile({ fd: 'huge', length: length - 1n, iova: 0n })).toEqual(at(0n));
  expect([rig.memory(false), rig.unmap(0n, length - 1n)]).toEqual([OK, removed(length - 1n)]);
});

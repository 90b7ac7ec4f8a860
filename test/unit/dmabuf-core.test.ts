import { describe, expect, test } from 'vitest';
import { dmaBufExport, dmaBufFd, dmaBufGet, dmaBufOf, dmaBufPut } from '../../impl/dmabuf/dma-buf.ts';
import { bare, setup } from './dmabuf-exporter.ts';
import { Rig } from './vfio-rig.ts';

describe('export', () => {
  test.each(['dma_buf_export', 'dma_buf_getfile'])('answers ENOMEM when %s runs out of memory', (site) => {
    const rig = new Rig();
    rig.kernel.faults.arm(1, site);
    expect(rig.within(() => dmaBufExport('buffer', 0x1000, bare, undefined))).toBe('ENOMEM');
  });

  test('of an exporter with only one of pin and unpin is a splat', () => {
    expect(() => setup({ ...bare, pin: () => undefined })).toThrow('only one of pin and unpin');
  });

  test('gives a buffer that is found behind its file and its descriptor, and behind no other', () => {
    const { rig, dmabuf } = setup();
    const fd = rig.within(() => dmaBufFd(dmabuf, rig.fds)) as number;
    const other = rig.within(() => rig.fds.install(rig.ctx)) as number;
    expect(dmaBufOf(dmabuf.file)).toBe(dmabuf);
    expect(dmaBufOf(rig.ctx)).toBeUndefined();
    expect(dmaBufGet(rig.fds, fd)).toBe(dmabuf);
    expect(dmabuf.file.refs.count).toBe(2);
    expect(dmaBufGet(rig.fds, other)).toBe('EINVAL');
    expect(dmaBufGet(rig.fds, 99)).toBe('EBADF');
  });

  test('keeps its reference when no descriptor can be had', () => {
    const { rig, dmabuf } = setup();
    rig.kernel.faults.arm(1, 'get_unused_fd');
    expect(rig.within(() => dmaBufFd(dmabuf, rig.fds))).toBe('EMFILE');
    expect(dmabuf.file.refs.count).toBe(1);
  });
});

describe('release', () => {
  test('the last put releases the exporter first and the reservation lock after it', () => {
    const { rig, dmabuf, exporter } = setup();
    rig.within(() => dmaBufPut(dmabuf));
    expect(exporter.log).toEqual(['release']);
    expect(() => rig.holding(dmabuf.resv, () => undefined)).toThrow('after mutex_destroy');
  });

  test('runs when the system call returns, not inside the put', () => {
    const { rig, dmabuf, exporter } = setup();
    rig.within(() => {
      dmaBufPut(dmabuf);
      expect(exporter.log).toEqual([]);
    });
    expect(exporter.log).toEqual(['release']);
  });

  test('with an importer still attached is a splat', () => {
    const { rig, dmabuf, importer } = setup();
    importer();
    expect(() => rig.within(() => dmaBufPut(dmabuf))).toThrow('released with 1 attachments');
  });
});

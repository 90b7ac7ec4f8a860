/**
 * What the kernel's selftests share, in their own words: the machine of their mock devices, the fixtures, and the
 * operations that the rows of iommufd 6 are written in.
 *
 * Source: iommufd 6.1
 */
import { expect } from 'vitest';
import { iommufdDeviceReplace } from '../../impl/iommufd/device.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, toBigint } from '../../impl/kernel/units.ts';
import type { Result } from '../../trace/answer.ts';
import { AccessRig } from '../unit/access-rig.ts';
import { A, MOCK_LANE, type Rig } from '../unit/iommufd-rig.ts';

/** A page of memory, one of the mock IOMMU, and a huge one. */
export const P = 0x1000n;
export const M = 0x800n;
export const H = 0x20_0000n;
/** The length of the global `buffer`, which is `m` here, and of the memfd `mfd`, which is `f`. */
export const B = 16n * P;
/** The last IOVA of the mock aperture. */
export const LAST = 0x7fff_ffffn;

/** Variants of the fixture `iommufd_ioas`, by the number of devices that it attaches. */
export const VARIANTS = [
  ['no_domain', 0],
  ['mock_domain', 1],
  ['two_mock_domain', 2],
] as const;

/** What `m` and `f` hold: no page is like another. */
const contents = Uint8Array.from({ length: Number(B) }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

/** An open iommufd with the IOAS `ioas`; `md0` and so on are the devices that are attached to it. */
export class Selftest extends AccessRig {
  readonly dom: boolean;
  /** Where a fixture maps first. */
  readonly base: bigint;
  #devices = 0;

  constructor(devices = 0, kernel = '7.2') {
    super([], MOCK_LANE, kernel);
    for (const name of ['m', 'f']) this.backing(name).write(0, contents);
    this.dom = devices > 0;
    this.base = this.dom ? A : 0n;
    for (let i = 0; i < devices; i++) this.att();
    this.calls();
  }

  /** ATT: a new mock device; its name, which is also that of its HWPT with an `h` before it. */
  att(pt = 'ioas'): string {
    const name = `md${this.#devices}`;
    const answer = this.tryAtt(pt);
    if ('err' in answer) throw new Error(`ATT answers ${answer.err}`);
    return name;
  }

  tryAtt(pt = 'ioas'): Result {
    const dev = `md${this.#devices}`;
    const answer = this.do({ do: 'mock_domain', ioas: pt, as: `h${dev}`, dev });
    if ('ok' in answer) this.#devices++;
    return answer;
  }

  /** DESTROY of what ATT made. */
  detach(dev: string): void {
    this.must({ do: 'mock_domain_destroy', dev });
  }

  /** MOCK_DOMAIN_REPLACE */
  replaceDevice(dev: string, pt: string): Errno | undefined {
    const idev = this.machine.mocks.get(dev)?.iommufdDevice;
    if (idev === undefined) throw new Error(`${dev} is not attached`);
    return this.call(iommufdDeviceReplace(idev, this.idOf(pt)));
  }

  /** The number of an object; 0 for none. */
  idOf(handle: string): number {
    const named = this.machine.names.get(handle);
    return named?.kind === 'object' ? named.object.id : 0;
  }

  /** More memory of the process. */
  allocate(as: string, length: bigint): void {
    this.must({ do: 'mem_alloc', as, length });
  }

  /** MAPF */
  mapF(offset: bigint, length: bigint, iova: bigint, mem = 'm'): Result {
    return this.map(mem, length, { offset, iova });
  }

  /** MAPA, which succeeds: the IOVA. */
  mapA(length: bigint, offset = 0n, mem = 'm', ioas = 'ioas'): bigint {
    return iovaOf(this.map(mem, length, { offset, ioas }));
  }

  /** FMAPA or, with an `iova`, FMAPF */
  mapFileAt(fd: string, start: bigint, length: bigint, iova?: bigint): Result {
    const where = iova === undefined ? {} : { iova };
    return this.do({ do: 'ioas_map_file', ioas: 'ioas', fd, start, length, prot: 'rw', ...where });
  }

  /** COPY, which asks for WRITEABLE alone */
  copyF(src: string, src_iova: bigint, length: bigint, dst: string, dst_iova: bigint): Result {
    return this.do({ do: 'ioas_copy', dst, src, src_iova, length, prot: 'w', dst_iova });
  }

  allow(...ranges: [bigint, bigint][]): Result {
    return this.do({ do: 'ioas_allow_iovas', ioas: 'ioas', ranges });
  }

  /** CHK: every step of half a page translates to the memory behind it. */
  check(handle: string, iova: bigint, length: bigint, mem = 'm', offset = 0n): void {
    const domain = this.domain(handle);
    for (let at = 0n; at < length; at += M) {
      const phys = domain.translate(fromBigint(iova + at));
      const expected = `${mem}+0x${(offset + at).toString(16)}`;
      expect(phys === undefined ? 'nothing' : this.machine.targetOf(phys)).toBe(expected);
    }
  }

  /** What the teardown of every fixture asks: close, and no page is pinned. */
  teardown(): void {
    this.must({ do: 'iommufd_close', ctx: 'ctx' });
    expect(this.pinned()).toEqual({});
    this.expectAtRest();
  }
}

export function iovaOf(answer: Result): bigint {
  if (!('ok' in answer) || answer.ok.iova === undefined) throw new Error(`no IOVA: ${JSON.stringify(answer)}`);
  return answer.ok.iova;
}

/** The address of `m` plus an offset that leads to `address`. */
export function offsetOf(rig: AccessRig, address: bigint): bigint {
  const named = rig.machine.names.get('m');
  if (named?.kind !== 'mem') throw new Error('m is no memory');
  return BigInt.asUintN(64, address - toBigint(named.address));
}

/** RESV: reserve on the account of the test. */
export function reserve(rig: Rig, start: bigint, length: bigint): Errno | undefined {
  const { iopt } = rig.ioas();
  return rig.call(
    (function* (): Thread<Errno | undefined> {
      yield iopt.iovaRwsem.write;
      try {
        return iopt.reserve(fromBigint(start), fromBigint(start + length - 1n), rig);
      } finally {
        iopt.iovaRwsem.releaseWrite();
      }
    })(),
  );
}

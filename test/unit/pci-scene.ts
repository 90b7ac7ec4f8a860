/** PCI hierarchies for tests: two host bridges, and a switch below a root port of the first. */
import { calcMapTypeAndDist, type MapType } from '../../impl/pci/map-type.ts';
import { HostBridge, PCI_ACS_RR, type PciConfig, PciFunction, type Platform } from '../../impl/pci/topology.ts';

export const OLD: Platform = { vendor: 'intel', family: 6 };
export const ZEN: Platform = { vendor: 'amd', family: 0x17 };

/** The functions of a machine by name, made from the top: a host bridge, a switch below its first root port, ... */
export class Scene {
  readonly host: HostBridge;
  readonly other: HostBridge;
  readonly all = new Map<string, PciFunction>();

  constructor(platform: Platform, root: Partial<PciConfig> = {}, otherRoot: Partial<PciConfig> = {}) {
    this.host = new HostBridge(platform);
    this.other = new HostBridge(platform, 1);
    this.add('root', this.host, { type: 'root port', ...root });
    this.add('root2', this.host, { type: 'root port' });
    this.add('up', this.of('root'), { type: 'upstream port' });
    this.add('down', this.of('up'), { type: 'downstream port' });
    this.add('down2', this.of('up'), { type: 'downstream port' });
    this.add('a', this.of('down'));
    this.add('a.1', this.of('down'));
    this.add('b', this.of('down2'));
    this.add('c', this.of('root2'));
    this.add('other', this.other, { type: 'root port', ...otherRoot });
    this.add('d', this.of('other'));
    this.add('integrated', this.host);
  }

  of(name: string): PciFunction {
    const found = this.all.get(name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  }

  add(name: string, parent: HostBridge | PciFunction, config: Partial<PciConfig> = {}): void {
    this.all.set(name, new PciFunction({ ...config, name, parent }));
  }

  /** Set a redirect bit in all of these; separated by blanks, and none for an empty string. */
  redirect(names: string): this {
    for (const name of names.split(' ').filter((each) => each !== '')) this.of(name).acs |= PCI_ACS_RR;
    return this;
  }

  /** What the memory of `from` is to `to`, found out anew. */
  type(from: string, to: string): MapType {
    return calcMapTypeAndDist(this.of(from), this.of(to)).type;
  }
}

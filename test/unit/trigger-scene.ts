/**
 * A device with a buffer that an importer has mapped and that has a fence, and with a CPU mapping; and everything that
 * happens to it, in order.
 */
import { USAGE } from '../../impl/dmabuf/resv.ts';
import type { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import type { VfioPciConfig } from '../../impl/vfio/pci-device.ts';
import { Scene } from './vfio-scene.ts';

/** Something that happens to the device, or to its buffer. */
export type Effect =
  | 'read' // PCI_COMMAND of the function is read,
  | 'write' // and written
  | 'lock' // memory_lock, for writing
  | 'unlock'
  | 'zap'
  | 'revoke' // a whole one: REVOKE
  | 'restore' // a whole one, of a buffer without a fence: RESTORE
  | 'wait and restore' // a whole one, of a buffer with a fence
  | 'revoked'
  | 'usable'
  | 'callback'
  | 'fences' // are waited for
  | 'unmaps' // are waited for
  | 'D0'
  | 'D1'
  | 'D2'
  | 'D3'
  | 'D4' // D3cold: what does not answer
  | 'reset' // of the function
  | 'bus reset'
  | 'BARs' // get their addresses back
  | 'command' // the virtual PCI_COMMAND
  | 'engaged'
  | 'disengaged'
  | 'eventfd'
  | 'forgotten' // the buffer has lost its device
  | 'disabled'; // the device has no configuration any more

/** What becomes of one usable buffer with an importer, a map and a fence. */
const REVOKE: readonly Effect[] = ['revoked', 'callback', 'fences', 'unmaps'];
const RESTORE: readonly Effect[] = ['callback', 'usable'];
const WHOLES: readonly (readonly [Effect, readonly Effect[]])[] = [
  ['revoke', REVOKE],
  ['restore', RESTORE],
  ['wait and restore', ['callback', 'fences', 'usable']],
];

export class TriggerScene extends Scene {
  readonly effects: Effect[] = [];
  #recording = false;

  constructor(config: Partial<VfioPciConfig> = {}) {
    super(config);
    this.#watch();
  }

  /** Run a call to its end, as an importer does that signals and unmaps when it is waited for: what happened. */
  effectsOf(call: Thread<Errno | undefined>): { answer: Errno | undefined; effects: Effect[] } {
    const fence = this.rig.fence(this.buffer, USAGE.BOOKKEEP);
    const table = this.rig.map(this.importer);
    this.effects.length = 0;
    this.#recording = true;
    const actor = this.rig.actor('trigger', call);
    while (!actor.run()) {
      if (actor.waitsFor?.endsWith('fences')) {
        this.#note('fences');
        fence.signal();
      } else {
        this.#note('unmaps');
        this.rig.unmap(this.importer, table as SgTable);
      }
    }
    this.#recording = false;
    fence.signal();
    if (!isErrno(table) && table.live) this.rig.unmap(this.importer, table);
    return { answer: actor.answer, effects: collapsed(this.effects) };
  }

  #note(effect: Effect): void {
    if (this.#recording) this.effects.push(effect);
  }

  #watch(): void {
    const { device, rig, buffer, importer, mapping, eventfd } = this;
    const note = (effect: Effect) => this.#note(effect);
    const { memoryLock } = device;
    before(memoryLock.write, 'enter', () => note('lock'));
    before(memoryLock, 'tryWrite', () => note('lock'));
    before(memoryLock, 'releaseWrite', () => note('unlock'));
    before(eventfd, 'signal', () => note('eventfd'));
    before(rig.kernel.faults, 'hit', (site) => {
      const effect = SITES.get(site as string);
      if (effect !== undefined) note(effect);
    });
    importer.onInvalidate = () => note('callback');
    mapping.onZap(() => note('zap'));
    onChange(buffer.priv, 'status', (status) => note(status === 'OK' ? 'usable' : 'revoked'));
    onChange(buffer.priv, 'vdev', () => note('forgotten'));
    onChange(device, 'power', (state) => note(`D${state}`));
    onChange(device, 'engaged', (engaged) => note(engaged ? 'engaged' : 'disengaged'));
    onChange(device.physical, 'barsProgrammed', () => note('BARs'));
    if (device.vconfig !== undefined) onChange(device.vconfig, 'command', () => note('command'));
    onChange(device, 'vconfig', () => note('disabled'));
    const { hotResetErr } = device;
    const resetBus = (): Errno | undefined => {
      note('bus reset');
      return hotResetErr;
    };
    Object.defineProperty(device, 'hotResetErr', { get: resetBus });
  }
}

const SITES: ReadonlyMap<string, Effect> = new Map([
  ['pci_user_read_config_word', 'read'],
  ['pci_user_write_config_word', 'write'],
  ['pci_dev_trylock', 'reset'],
]);

/** Tell of each call of a method, and then let it do its work. */
function before<K extends string>(
  of: { [M in K]: (...args: never[]) => unknown },
  method: K,
  told: (argument: unknown) => void,
): void {
  const right = of[method].bind(of) as (...args: unknown[]) => unknown;
  Object.assign(of, {
    [method]: (...args: unknown[]): unknown => {
      told(args[0]);
      return right(...args);
    },
  });
}

/** Tell of each change of a field. */
function onChange<T extends object, K extends keyof T & string>(of: T, field: K, told: (value: T[K]) => void): void {
  let now = of[field];
  Object.defineProperty(of, field, {
    get: () => now,
    set: (value: T[K]) => {
      if (value !== now) told(value);
      now = value;
    },
  });
}

/** With every whole revoke, and every whole un-revoke, as one. */
function collapsed(effects: readonly Effect[]): Effect[] {
  const short: Effect[] = [];
  for (let at = 0; at < effects.length; ) {
    const found = WHOLES.find(([, whole]) => whole.every((effect, i) => effects[at + i] === effect));
    const [name, { length }] = found ?? [effects[at] as Effect, [effects[at]]];
    short.push(name);
    at += length;
  }
  return short;
}

/**
 * What takes a device's memory away and gives it back, by the documents alone: each call with its locks, and what it
 * does to the buffers.
 *
 * Source: vfio-dmabuf 1.6, 2.6, 2.8, 2.10, 7.4
 */
import { Lock, type Steps } from './actors.ts';
import { type Buffer, type Exporter, newBuffer, type Oracle } from './oracle.ts';

interface Bus {
  readonly lock: Lock;
  readonly devices: OracleDevice[];
}

export const newBus = (name: string): Bus => ({ lock: new Lock(`${name}.lock`), devices: [] });

/** A device that is open and bound, at first. */
export class OracleDevice implements Exporter {
  readonly name: string;
  readonly memoryLock: Lock;
  buffers: Buffer[] = [];
  /** The user's descriptor is open; and whoever holds the file: that, and each call on it. */
  fd = true;
  files = 1;
  /** Opened by the driver, until it begins to close. */
  opened = true;
  /** The close is over. */
  closed = false;
  memory = true;
  power = 0;
  engaged = false;
  wakeup = false;
  /** Who keeps it awake: the open, unless the user asked for low power, and each call. */
  users = 1;
  #exports = 0;
  readonly #oracle: Oracle;
  readonly #bus: Bus;
  /** It has FLR, and so a reset; else only a reset of the bus. */
  readonly #flr: boolean;

  constructor(name: string, oracle: Oracle, bus: Bus, flr: boolean) {
    this.name = name;
    this.memoryLock = new Lock(`${name}.memory_lock(W)`);
    this.#oracle = oracle;
    this.#bus = bus;
    this.#flr = flr;
    bus.devices.push(this);
    oracle.exporters.push(this);
  }

  /** M(d) */
  get #enabled(): boolean {
    return this.power < 3 && this.memory;
  }

  /** A call on the descriptor: it holds the file, and keeps the device awake. */
  *through(body: Steps<string>): Steps<string> {
    this.files++;
    yield* this.#resume();
    const answer = yield* body;
    yield* this.#suspend();
    this.putFile();
    return answer;
  }

  putFile(): void {
    if (--this.files === 0) this.#oracle.me.owes.push(() => this.#close());
  }

  *#resume(): Steps {
    if (this.users === 0) {
      yield this.memoryLock;
      if (this.wakeup) this.#disengage();
      this.memoryLock.release();
    }
    this.users++;
  }

  *#suspend(): Steps {
    if (--this.users > 0) return;
    yield this.memoryLock;
    this.power = 0;
    this.memoryLock.release();
  }

  #disengage(): void {
    if (this.engaged) this.users++;
    this.engaged = false;
    this.wakeup = false;
  }

  *#comesBack(): Steps {
    if (this.#enabled) yield* this.#oracle.move(this, false);
  }

  /** Under the memory lock: all is revoked, something happens to the device, and what can comes back. */
  *#away(happens: () => void): Steps {
    yield this.memoryLock;
    yield* this.#oracle.move(this, true);
    happens();
    yield* this.#comesBack();
    this.memoryLock.release();
  }

  /** The same without a revoke. */
  *#change(happens: () => void): Steps {
    yield this.memoryLock;
    happens();
    yield* this.#comesBack();
    this.memoryLock.release();
  }

  *export(handle: string, ranges: number): Steps<string> {
    const buffer = newBuffer(`${this.name}.dmabuf${this.#exports++}`, handle, ranges, this);
    yield this.memoryLock;
    buffer.revoked = !this.#enabled;
    this.buffers.push(buffer);
    this.memoryLock.release();
    this.#oracle.buffers.push(buffer);
    return 'ok';
  }

  /** DMA_BUF_REVOKE */
  *revokeForGood(buffer: Buffer): Steps<string> {
    const oracle = this.#oracle;
    if (!oracle.revokesForGood) return 'ENOTTY';
    if (buffer.dev !== this) return 'ENODEV';
    buffer.files++;
    yield this.memoryLock;
    const answer = buffer.forGood ? 'EBADFD' : 'ok';
    if (answer === 'ok') yield* oracle.end(buffer);
    this.memoryLock.release();
    oracle.putFile(buffer);
    return answer;
  }

  *writeMemory(on: boolean): Steps<string> {
    const happens = (): void => {
      this.memory = on;
    };
    yield* on ? this.#change(happens) : this.#away(happens);
    return 'ok';
  }

  *reset(): Steps<string> {
    yield* this.#away(() => {
      this.power = 0;
    });
    return 'ok';
  }

  *flr(): Steps<string> {
    return this.#flr ? yield* this.reset() : 'ok';
  }

  *setPower(state: number): Steps<string> {
    const happens = (): void => {
      this.power = state;
    };
    yield* state === 3 ? this.#away(happens) : this.#change(happens);
    return 'ok';
  }

  *lowPowerEntry(wakeup: boolean): Steps<string> {
    yield this.memoryLock;
    yield* this.#oracle.move(this, true);
    const { engaged } = this;
    if (!engaged) {
      this.engaged = true;
      this.wakeup = wakeup;
      this.users--;
    }
    this.memoryLock.release();
    return engaged ? 'EINVAL' : 'ok';
  }

  *lowPowerExit(): Steps<string> {
    yield* this.#change(() => this.#disengage());
    return 'ok';
  }

  /** The device wakes itself, and sleeps again if nobody keeps it awake. */
  *wake(): Steps<string> {
    yield* this.#resume();
    yield* this.#suspend();
    return 'ok';
  }

  *hotReset(): Steps<string> {
    const { lock, devices } = this.#bus;
    yield lock;
    for (const device of devices) yield* device.#resume();
    const mine: OracleDevice[] = [];
    let failed: string | undefined;
    for (const device of devices) {
      // A device that nobody has open belongs to a group of its own, which nobody owns.
      if (!device.opened) failed = 'EINVAL';
      else if (!device.memoryLock.ready()) failed = 'EBUSY';
      if (failed !== undefined) break;
      device.memoryLock.enter(this.#oracle.me);
      mine.push(device);
      yield* this.#oracle.move(device, true);
    }
    if (failed === undefined) for (const device of devices) device.power = 0;
    for (const device of mine.reverse()) {
      yield* device.#comesBack();
      device.memoryLock.release();
    }
    for (const device of [...devices].reverse()) yield* device.#suspend();
    lock.release();
    return failed ?? 'ok';
  }

  /** close(2): what holds the file beside the descriptor holds up all the rest. */
  *closeFd(): Steps<string> {
    this.fd = false;
    this.putFile();
    return 'ok';
  }

  /** The last file: the buffers lose their device before the function is switched off. */
  *#close(): Steps {
    const { lock } = this.#bus;
    yield lock;
    this.opened = false;
    yield this.memoryLock;
    yield* this.#oracle.move(this, true);
    for (const buffer of this.buffers.filter(({ files }) => files > 0)) buffer.dev = undefined;
    this.buffers = this.buffers.filter(({ dev }) => dev !== undefined);
    this.memoryLock.release();
    yield* this.lowPowerExit();
    this.power = 0;
    yield* this.#suspend();
    lock.release();
    this.closed = true;
  }

  /** open(2) and bind, of a device that is closed. */
  *open(): Steps<string> {
    this.closed = false;
    this.files = 1;
    const { lock } = this.#bus;
    yield lock;
    yield* this.#resume();
    this.opened = true;
    this.power = 0;
    this.memory = true;
    lock.release();
    this.fd = true;
    return 'ok';
  }
}

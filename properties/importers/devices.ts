/**
 * What takes a device's memory away and gives it back, by the documents alone: each call with its locks, and what it
 * does to the buffers.
 *
 * Source: vfio-dmabuf 1.6, 2.6, 2.8, 2.10, 7.4
 */
import { Lock, type Steps } from './actors.ts';
import { type Buffer, type Exporter, newBuffer, type Oracle } from './oracle.ts';

/** A state of power that no register has. */
const D3COLD = 4;

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
  /** Somebody else is at it, so that no reset is tried. */
  lockedElsewhere = false;
  /** It was pulled out. */
  removed = false;
  /** Who keeps it awake: the open, unless the user asked for low power, and each call. */
  users = 1;
  #exports = 0;
  #exporting = 0;
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

  /** A call on the descriptor: it holds the file, and keeps the device awake; one that is gone does not wake up. */
  *through(body: Steps<string>): Steps<string> {
    this.files++;
    const awake = yield* this.#resume();
    const answer = awake ? yield* body : 'EIO';
    if (awake) yield* this.#suspend();
    this.putFile();
    return answer;
  }

  putFile(): void {
    if (--this.files === 0) this.#oracle.me.owes.push(() => this.#close());
  }

  *#resume(): Steps<boolean> {
    if (this.users === 0) {
      if (this.removed) return false;
      yield this.memoryLock;
      if (this.wakeup) this.#disengage();
      this.memoryLock.release();
    }
    this.users++;
    return true;
  }

  *#suspend(): Steps {
    if (--this.users > 0) return;
    yield this.memoryLock;
    this.#setTo(0);
    this.memoryLock.release();
  }

  /** Of what does not answer, no state can be changed: it counts as D3cold. */
  #setTo(state: number): void {
    this.power = this.removed && this.power !== state ? D3COLD : state;
  }

  /** What a reset that is tried answers. Without the lock nothing is done. */
  #tryReset(): string {
    if (this.lockedElsewhere) return 'EAGAIN';
    this.#setTo(0);
    return this.removed ? 'ENOTTY' : 'ok';
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
  *#away(happens: () => void, before = (): void => {}): Steps {
    yield this.memoryLock;
    before();
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

  /** Who keeps its driver: an open file, each buffer until it has lost its device, and each that comes to be. */
  get #registrations(): number {
    return (this.closed ? 0 : 1) + this.buffers.length + this.#exporting;
  }

  *export(handle: string, ranges: number): Steps<string> {
    const buffer = newBuffer(`${this.name}.dmabuf${this.#exports++}`, handle, ranges, this);
    this.#exporting++;
    yield this.memoryLock;
    this.#exporting--;
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

  /**
   * Also when the reset fails, all is revoked, and what can comes back. The function is in D0 before it is waited for
   * importers, who may touch it while they clean up; so it does not matter to that if it is pulled out meanwhile.
   */
  *reset(): Steps<string> {
    let answer = 'ok';
    const happens = (): void => {
      answer = this.#tryReset();
    };
    yield* this.#away(happens, () => this.#setTo(0));
    return answer;
  }

  /** Nobody is told how it went. */
  *flr(): Steps<string> {
    if (this.#flr) yield* this.#away(() => void this.#tryReset());
    return 'ok';
  }

  *setPower(state: number): Steps<string> {
    const happens = (): void => this.#setTo(state);
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
    if (!(yield* this.#resume())) return 'EIO';
    yield* this.#suspend();
    return 'ok';
  }

  *hotReset(): Steps<string> {
    const { lock, devices } = this.#bus;
    yield lock;
    const awake: OracleDevice[] = [];
    for (const device of devices) {
      if (!(yield* device.#resume())) break;
      awake.push(device);
    }
    const mine: OracleDevice[] = [];
    let failed = awake.length < devices.length ? 'EIO' : undefined;
    for (const device of failed === undefined ? devices : []) {
      // A device that nobody has open belongs to a group of its own, which nobody owns.
      if (!device.opened) failed = 'EINVAL';
      else if (!device.memoryLock.ready()) failed = 'EBUSY';
      if (failed !== undefined) break;
      device.memoryLock.enter(this.#oracle.me);
      mine.push(device);
      yield* this.#oracle.move(device, true);
    }
    if (failed === undefined) {
      for (const device of devices) device.#setTo(0);
      if (devices.some(({ lockedElsewhere }) => lockedElsewhere)) failed = 'EAGAIN';
      else if (devices.some(({ removed }) => removed)) failed = 'ENOTTY';
    }
    for (const device of mine.reverse()) {
      yield* device.#comesBack();
      device.memoryLock.release();
    }
    for (const device of awake.reverse()) yield* device.#suspend();
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

  /** It is gone at once, and its driver when nobody has it open, nor a buffer that it lists. Nothing is revoked. */
  *removal(): Steps<string> {
    this.removed = true;
    yield { ready: () => this.#registrations === 0, says: () => `${this.#registrations} users of ${this.name}` };
    const { lock, devices } = this.#bus;
    yield lock;
    devices.splice(devices.indexOf(this), 1);
    lock.release();
    return 'ok';
  }

  /** open(2) and bind, of a device that is closed. */
  *open(): Steps<string> {
    if (this.removed) return 'ENODEV';
    this.closed = false;
    this.files = 1;
    const { lock } = this.#bus;
    yield lock;
    yield* this.#resume();
    this.power = 0;
    if (this.lockedElsewhere) {
      yield* this.#suspend();
      lock.release();
      this.files = 0;
      this.closed = true;
      return 'EAGAIN';
    }
    this.opened = true;
    this.memory = true;
    lock.release();
    this.fd = true;
    return 'ok';
  }
}

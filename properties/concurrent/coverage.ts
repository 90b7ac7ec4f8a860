/** What a run of programs has seen: which commands really overlapped, and what came of it. */
import type { Command } from '../../trace/command.ts';
import type { Call, Ran } from './run.ts';

type Does = Command['do'];
/** Everything that can take memory back. */
const REVOKES: ReadonlySet<Does> = new Set<Does>([
  'vfio_memory',
  'vfio_power',
  'vfio_reset',
  'vfio_flr',
  'vfio_hot_reset',
  'vfio_low_power_entry',
  'vfio_dmabuf_revoke',
  'vfio_close',
  'mock_revoke',
]);

const is = (...names: readonly Does[]): ((call: Call) => boolean) => {
  return ({ command }) => names.includes(command.do);
};
const revokes = ({ command }: Call): boolean => REVOKES.has(command.do);
const gives = ({ command }: Call): boolean =>
  command.do === 'vfio_memory' ? command.enable : command.do === 'vfio_low_power_exit';
const answered =
  (errno: string) =>
  ({ result }: Call): boolean =>
    result !== undefined && 'err' in result && result.err === errno;
const worked = ({ result }: Call): boolean => result !== undefined && 'ok' in result;

const returned = ({ returned = Number.POSITIVE_INFINITY }: Call): number => returned;
/** Each began before the other had returned. */
const overlap = (a: Call, b: Call): boolean => a.branch !== b.branch && a.began < returned(b) && b.began < returned(a);
/** `inner` began and returned while the other was under way. */
const within = (outer: Call, inner: Call): boolean => outer.began < inner.began && returned(inner) < returned(outer);

/** What must happen now and then between two calls that overlap; the first is the one that is asked about. */
const WITNESSES: Readonly<Record<string, (one: Call, other: Call) => boolean>> = {
  'a revoke came between the steps of a map': (one, other) =>
    is('ioas_map_file')(one) && worked(one) && revokes(other) && within(one, other),
  'a map met a revoke, and was refused with ENODEV': (one, other) =>
    is('ioas_map_file')(one) && answered('ENODEV')(one) && revokes(other),
  'a map of memory overlapped a revoke': (one, other) => is('ioas_map')(one) && revokes(other),
  'a map or a copy overlapped what gives memory back': (one, other) =>
    is('ioas_map_file', 'ioas_copy')(one) && gives(other),
  'an unmap overlapped a revoke': (one, other) => is('ioas_unmap')(one) && worked(one) && revokes(other),
  'a copy overlapped a revoke': (one, other) => is('ioas_copy')(one) && worked(one) && revokes(other),
  'an attach overlapped a revoke': (one, other) =>
    is('vfio_attach', 'hwpt_alloc')(one) && worked(one) && revokes(other),
  'a detach or a destroy overlapped a revoke': (one, other) =>
    is('vfio_detach', 'destroy')(one) && worked(one) && revokes(other),
  'two revokes overlapped': (one, other) => revokes(one) && worked(one) && revokes(other) && worked(other),
  'a CPU read while a revoke was under way': (one, other) => is('peek')(one) && worked(one) && revokes(other),
  'an export overlapped a revoke': (one, other) => is('vfio_export')(one) && worked(one) && revokes(other),
  'a buffer was closed while a revoke was under way': (one, other) =>
    is('fd_close')(one) && worked(one) && revokes(other),
  'a device was closed while an area of it was mapped or copied': (one, other) =>
    is('vfio_close')(one) && is('ioas_map_file', 'ioas_copy')(other),
  'a hot reset met a lock that was taken, and answered EBUSY': (one) =>
    is('vfio_hot_reset')(one) && answered('EBUSY')(one),
  'an unmap met an area in set-up or tear-down, and answered EBUSY': (one) =>
    is('ioas_unmap')(one) && answered('EBUSY')(one),
  'an object was in use by a call, and its destruction answered EBUSY': (one, other) =>
    is('destroy')(one) && answered('EBUSY')(one) && is('ioas_map_file', 'ioas_map', 'ioas_unmap', 'ioas_copy')(other),
  'two attaches overlapped': (one, other) => is('vfio_attach')(one) && is('vfio_attach', 'hwpt_alloc')(other),
  'two maps or copies into one IOAS overlapped': ({ command: a }, { command: b }) =>
    ioasOf(a) !== undefined && ioasOf(a) === ioasOf(b),
  'two unmaps in one IOAS overlapped': ({ command: a }, { command: b }) =>
    a.do === 'ioas_unmap' && b.do === 'ioas_unmap' && a.ioas === b.ioas,
};

/** Those for which a run must be longer. */
const SELDOM: ReadonlySet<string> = new Set([
  'an unmap met an area in set-up or tear-down, and answered EBUSY',
  'a map of memory overlapped a revoke',
  'a CPU read while a revoke was under way',
]);

const ioasOf = (command: Command): string | undefined =>
  command.do === 'ioas_map_file' || command.do === 'ioas_map'
    ? command.ioas
    : command.do === 'ioas_copy'
      ? command.dst
      : undefined;

export class ConcurrentCoverage {
  programs = 0;
  /** Runs, each of a program under a schedule. */
  schedules = 0;
  steps = 0;
  calls = 0;
  /** Runs in which three calls were under way at once. */
  threefold = 0;
  /** Runs that nobody can judge: what came of a number that was given out again. */
  setAside = 0;
  /** How the last of them came about. */
  lastAside: string | undefined;
  /** How often commands overlapped, by `ioas_map_file, vfio_reset`. */
  readonly pairs = new Map<string, number>();
  /** How often a call that overlapped another answered so, by `ioas_unmap EBUSY`. */
  readonly answers = new Map<string, number>();
  readonly witnessed = new Map<string, number>();

  see({ calls, steps, setAside }: Ran): void {
    this.schedules++;
    if (setAside !== undefined) {
      this.setAside++;
      this.lastAside = setAside;
    }
    this.steps += steps;
    this.calls += calls.length;
    if (calls.some((one) => new Set(calls.filter((it) => overlap(one, it)).map(({ branch }) => branch)).size > 1))
      this.threefold++;
    for (const one of calls) {
      const others = calls.filter((it) => overlap(one, it));
      if (others.length === 0) continue;
      const { result } = one;
      if (result !== undefined) add(this.answers, `${one.command.do} ${'err' in result ? result.err : 'ok'}`);
      for (const other of others) {
        if (one.branch < other.branch) add(this.pairs, [one.command.do, other.command.do].toSorted().join(', '));
        for (const [name, happened] of Object.entries(WITNESSES)) if (happened(one, other)) add(this.witnessed, name);
      }
    }
  }

  /** What did not happen and must, also in a short run. */
  get unseen(): string[] {
    const unseen = Object.keys(WITNESSES).filter((name) => !this.witnessed.has(name) && !SELDOM.has(name));
    return this.threefold > 0 ? unseen : ['three calls were under way at once', ...unseen];
  }

  get table(): string[] {
    const line = (count: number, what: string): string => `${String(count).padStart(9)}  ${what}`;
    return [
      line(this.pairs.size, 'pairs of commands overlapped'),
      line(this.threefold, 'three calls were under way at once'),
      ...Object.keys(WITNESSES).map((name) => line(this.witnessed.get(name) ?? 0, name)),
      line(this.setAside, 'runs set aside: a number was given out again under a call that had passed it'),
      ...(this.lastAside === undefined ? [] : [`           such as: ${this.lastAside}`]),
    ];
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

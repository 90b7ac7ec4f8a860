/**
 * The schemas of whole traces, versions 1 and 2. Each is a codec: decoding gives a `Trace`, encoding gives its JSON
 * with the keys in the order of the format. What a schema cannot see, such as a name that nothing gave, `check.ts`
 * looks for.
 */
import * as z from 'zod';
import type { Answer, Errno, Reach } from './answer.ts';
import { calls } from './call.ts';
import type { Command, Handle } from './command.ts';
import { machine } from './machine.ts';
import { STEPS } from './steps.ts';
import type { Fault, Recorded, Step, Threads, Trace, TracedCall, Version } from './trace.ts';
import { brief, count, errno, handle, hex, is, list, mapOf, object, prot, target, words } from './values.ts';

export const FORMAT = 'dmabuf-trace';

/** A step as it stands in the file: the command's arguments and what came of it, side by side. */
type FlatStep = Command & {
  readonly ok?: Answer;
  readonly err?: Errno;
  readonly blocked?: string;
  readonly fault?: Fault;
  readonly iommu?: readonly TracedCall[];
  readonly reach?: ReadonlyMap<Handle, readonly Reach[]>;
  readonly note?: string;
};

const OUTCOMES = ['ok', 'err', 'blocked'] as const;

const text = z.string(is('is not a string'));

const reach = z
  .tuple([hex, target, hex, prot], is('is not [iova, target, length, prot]'))
  .meta({ id: 'reach', description: 'A stretch of what a device reaches by DMA: [iova, target, length, prot].' });

const fault = object({ site: words, nth: count.min(1, is('is not counted from 1')) }).meta({
  id: 'fault',
  description: 'The nth passage of this site within the step fails.',
});

const reached = mapOf(handle, list(reach)).meta({
  id: 'reached',
  description: 'For each device named, the whole of what it reaches after the step, sorted and merged.',
});

const note = text.meta({ id: 'note', description: 'A remark for people.' });
const blocked = words.meta({ id: 'blocked', description: 'Why the call has not returned.' });

/** What any step may carry besides its arguments and `ok`, in the order in which it is written. */
const marks = (version: Version): z.core.$ZodShape => ({
  err: errno.exactOptional(),
  ...(version === 2 && { blocked: blocked.exactOptional(), fault: fault.exactOptional() }),
  iommu: calls(version).exactOptional(),
  reach: reached.exactOptional(),
  note: note.exactOptional(),
});

/** A step of version 1 has exactly one outcome, one of version 2 at most one. */
function outcomes(version: Version): z.core.CheckFn<FlatStep> {
  return ({ value, issues }) => {
    const given = OUTCOMES.filter((key) => value[key] !== undefined);
    const message =
      given.length > 1
        ? `both ${given.join(' and ')}`
        : version === 1 && given.length === 0
          ? 'neither ok nor err'
          : '';
    if (message) issues.push({ code: 'custom', input: value, message });
  };
}

const notStep = (issue: z.core.$ZodRawIssue): string => {
  const { input } = issue;
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input);
  if (!isObject) return `${brief(input)} is not an object`;
  return 'do' in input ? `${brief(input.do)} is not a step of the format` : 'missing';
};

interface AnyRow {
  readonly about: string;
  readonly args: Readonly<Record<string, z.ZodType>>;
  readonly ok: z.ZodType;
  readonly added?: string | readonly string[];
}

/** The rows of the table as one schema; the table's own type has checked what this cast says. */
function flatStep(version: Version): z.ZodType<FlatStep> {
  const rows = Object.entries<AnyRow>(STEPS).filter(([, { added }]) => version === 2 || added !== 'step');
  const options = rows.map(([name, { about, args, ok, added = [] }]) => {
    const known = Object.entries(args).filter(([arg]) => version === 2 || !added.includes(arg));
    const row = object({
      do: z.literal(name),
      ...Object.fromEntries(known),
      ok: z.exactOptional(ok),
      ...marks(version),
    });
    if (version === 1) return row;
    const pairs = [
      ['ok', 'err'],
      ['ok', 'blocked'],
      ['err', 'blocked'],
    ];
    return row.meta({ id: name, description: about, not: { anyOf: pairs.map((required) => ({ required })) } });
  });
  const [first, ...rest] = options;
  if (!first) throw new Error('the format has no steps');
  const union = z.discriminatedUnion('do', [first, ...rest], { error: notStep });
  const step = (union as unknown as z.ZodType<FlatStep>).check(outcomes(version));
  return version === 1 ? step : step.meta({ id: 'step', description: 'A command, and what became of it.' });
}

const stepOf = (version: Version): z.ZodType<Step> =>
  z.codec(flatStep(version), z.custom<Step>(), {
    decode: ({ ok, err, blocked, fault, iommu, reach, note, ...command }): Step => ({
      command,
      ...(ok && { result: { ok } }),
      ...(err && { result: { err } }),
      ...(blocked !== undefined && { blocked }),
      ...(fault && { fault }),
      ...(iommu && { iommu }),
      ...(reach && { reach }),
      ...(note !== undefined && { note }),
    }),
    encode: ({ command, result, ...rest }): FlatStep => ({ ...command, ...result, ...rest }),
  });

const step1 = stepOf(1);
const step2 = stepOf(2);

const threads: z.ZodType<Threads> = object({
  branches: list(list(step2).min(1, 'a branch without steps')).min(2, 'fewer than two branches'),
  schedule: list(object({ after: count, to: count })),
}).meta({
  id: 'threads',
  description: 'Branches that run concurrently after the steps; run on for `after` steps, then hand over `to` places.',
});

const kernel = z
  .string(is('is not a string'))
  .regex(/^[0-9]+[.][0-9]+([.][0-9]+)?$/, is('is not a kernel version, such as "7.2" or "7.2.13"'));

/** Or what no release has: 7.3 with the unmerged series that lets the CPU map dma-bufs, and that to the letter. */
const meant = z
  .string(is('is not a string'))
  .regex(
    /^([0-9]+[.][0-9]+([.][0-9]+)?|v4|v4-literal)$/,
    is('is neither a kernel version, such as "7.2", nor "v4" or "v4-literal"'),
  );

const lane = z.enum(['vtd', 'mock'], is('is not "vtd" or "mock"'));
const recorded: z.ZodType<Recorded> = object({ kernel, lane: lane.exactOptional() });

type FlatTrace = Trace & { readonly format: typeof FORMAT };

const head = { name: words, about: text.exactOptional(), note: note.exactOptional() };

const version1: z.ZodType<FlatTrace> = object({
  format: z.literal(FORMAT),
  version: z.literal(1),
  ...head,
  recorded,
  machine,
  steps: list(step1),
});

const version2: z.ZodType<FlatTrace> = object({
  format: z.literal(FORMAT),
  version: z.literal(2),
  ...head,
  recorded: recorded.exactOptional(),
  kernel: meant.exactOptional(),
  machine,
  steps: list(step2),
  threads: threads.exactOptional(),
}).refine((trace) => trace.recorded === undefined || trace.kernel === undefined, {
  error: 'both recorded and kernel, which is for a trace that no kernel recorded',
});

const codec = (flat: z.ZodType<FlatTrace>): z.ZodType<Trace> =>
  z.codec(flat, z.custom<Trace>(), {
    decode: ({ format: _, ...trace }) => trace,
    encode: (trace): FlatTrace => ({ format: FORMAT, ...trace }),
  });

const schemas = { 1: codec(version1), 2: codec(version2) } as const;

/** What a file of this version says, as a `Trace`. */
export const traceSchema = (version: Version): z.ZodType<Trace> => schemas[version];

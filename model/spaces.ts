/** Contexts, and their IOASes: how they come and go, what may be mapped in them, and where the kernel may choose. */

import { isHeld } from './holds.ts';
import { alignment, claims, gaps, MAX, overlap, reserved } from './iova.ts';
import { CLOSED, contextNamed, GONE, home, ioasNamed, objectNamed } from './names.ts';
import { done, first, give, swap } from './outcome.ts';
import type { Area, Context, Do, Ioas, Outcome, Space, State } from './spec.ts';

export const openContext = (s: State, { as }: Do<'iommufd_open'>): Outcome => {
  const context: Context = { is: 'context', name: as };
  return done({ ...give(s, as, context), contexts: [...s.contexts, context] });
};

export const closeContext = (s: State, { ctx }: Do<'iommufd_close'>): Outcome => {
  const contexts = s.contexts.filter((context) => context !== contextNamed(s, ctx));
  return contextNamed(s, ctx) ? done(swept({ ...s, contexts })) : { err: 'EBADF' };
};

/**
 * A context goes, with all that is in it, once its descriptor is closed and neither a device of a file is bound to it,
 * nor a command under way in it.
 */
export const swept = (s: State): State => {
  const bound = s.devices.map(({ holder, context }) => holder && context);
  const held = new Set<object | string | undefined>([...s.contexts, ...bound, ...s.holds.map(({ what }) => what)]);
  const devices = s.devices.filter(({ holder, context }) => holder || !context || held.has(context));
  return { ...s, devices, ioases: s.ioases.filter(({ space }) => held.has(space.context)) };
};

export const ioasAlloc = (s: State, { ctx, as }: Do<'ioas_alloc'>): Outcome => {
  const context = contextNamed(s, ctx);
  if (!context) return { err: 'EBADF' };
  const space: Space = { is: 'ioas', name: as, context };
  const ioas: Ioas = { space, areas: [], domains: [], allowed: [], largePages: true };
  return done({ ...give(s, as, space), ioases: [...s.ioases, ioas] });
};

/** Areas are no reason to keep an IOAS, nor a domain. Domains keep their IOAS, and devices their domain. */
export const destroy = (s: State, { obj }: Do<'destroy'>): Outcome => {
  const object = objectNamed(s, obj);
  const ioas = home(s, object);
  const domains = ioas.domains.filter((domain) => domain !== object);
  const whole = ioas.space === object;
  const kept = object !== undefined && isHeld(s, object, 'uses');
  const used = kept || s.devices.some(({ domain }) => domain === object) || (whole && domains.length > 0);
  const ioases = whole ? s.ioases.filter((other) => other !== ioas) : swap(s.ioases, ioas, { ...ioas, domains });
  return first([ioas === CLOSED, 'EBADF'], [ioas === GONE, 'ENOENT'], [used, 'EBUSY']) ?? done({ ...s, ioases });
};

/** What is not reserved, whether or not areas are there already. */
export const iovaRanges = (s: State, c: Do<'ioas_iova_ranges'>): Outcome => {
  const ioas = ioasNamed(s, c.ioas);
  const ok = { ranges: gaps(reserved(s, ioas), 0n, MAX), alignment: alignment(s, ioas) };
  return first([ioas === CLOSED, 'EBADF'], [ioas === GONE, 'ENOENT']) ?? { state: s, ok };
};

/** All of them, or none. Areas stay where they are, and a fixed one may still go anywhere. */
export const allowIovas = (s: State, { ioas: name, ranges: allowed }: Do<'ioas_allow_iovas'>): Outcome => {
  const ioas = ioasNamed(s, name);
  const short = allowed.some(([low, last]) => low >= last);
  const twice = allowed.some((it, i) => allowed.slice(0, i).some((other) => overlap(it, other)));
  return (
    first([ioas === CLOSED, 'EBADF'], [ioas === GONE, 'ENOENT'], [short || twice, 'EINVAL']) ??
    first([claims({ areas: [], allowed }, reserved(s, ioas)), 'EADDRINUSE']) ??
    done({ ...s, ioases: swap(s.ioases, ioas, { ...ioas, allowed }) })
  );
};

/** Without large pages all is mapped page by page, and so made of whole pages. What is mapped already stays so. */
export const hugePages = (s: State, { ioas: name, enable }: Do<'ioas_option_huge_pages'>): Outcome => {
  const ioas = ioasNamed(s, name);
  const { pageSize } = s.machine;
  const ragged = ({ iova, length, offset }: Area): boolean => (iova | length | offset) % pageSize !== 0n;
  const off = ioas.largePages && !enable;
  return (
    first([ioas === CLOSED, 'EBADF'], [ioas === GONE, 'ENOENT']) ??
    first([off && ioas.domains.length > 0 && ioas.areas.length > 0, 'EINVAL']) ??
    first([off && ioas.areas.some(ragged), 'EADDRINUSE']) ??
    done({ ...s, ioases: swap(s.ioases, ioas, { ...ioas, largePages: enable }) })
  );
};

/**
 * Bad structs: what their size says, whom they name, and what cannot be written back.
 *
 * Source: iommufd I-80 to I-83
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Field, Fields, Values } from '../../impl/uapi/layout.ts';
import { GOOD, type Good, made, Scene } from './uapi-scene.ts';

const RUNS = { seed: 20261121, numRuns: 150 };

/** A good call, or one of which a field says something else. */
const call: fc.Arbitrary<{ good: Good; spoilt: Partial<Values<Fields>> }> = fc
  .record({
    good: fc.constantFrom(...GOOD),
    field: fc.nat(8),
    small: fc.nat(9),
    whole: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    how: fc.nat(3),
  })
  .map(({ good, field, small, whole, how }) => {
    const name = Object.keys(good.layout.fields)[1 + field];
    if (how === 0 || name === undefined) return { good, spoilt: {} };
    const { width } = good.layout.fields[name] as Field;
    const value = how === 1 ? BigInt(small) : BigInt.asUintN(width * 8, whole);
    return { good, spoilt: { [name]: width === 8 ? fromBigint(value) : Number(value) } };
  });

describe('I-80, the size of a structure', () => {
  test('a larger one with zeros behind it is answered, and does, as the exact one', () => {
    fc.assert(
      fc.property(call, fc.integer({ min: 1, max: 40 }), ({ good, spoilt }, more) => {
        const tail = new Array<number>(more).fill(0);
        const larger = made(good, spoilt, { size: good.layout.size + more, tail });
        expect({ ...larger, tail: [] }).toEqual(made(good, spoilt));
        expect(larger.tail).toEqual(tail);
      }),
      RUNS,
    );
  });

  test('a larger one with anything else behind it is E2BIG, wherever that is, and does nothing', () => {
    fc.assert(
      fc.property(
        call,
        fc.integer({ min: 1, max: 40 }),
        fc.nat(39),
        fc.integer({ min: 1, max: 255 }),
        (it, more, at, byte) => {
          const tail = Array.from({ length: more }, (_, i) => (i === at % more ? byte : 0));
          const { answer, before, after } = made(it.good, it.spoilt, { size: it.good.layout.size + more, tail });
          expect([answer, after]).toEqual(['E2BIG', before]);
        },
      ),
      RUNS,
    );
  });

  test('one smaller than the least is EINVAL, and does nothing', () => {
    fc.assert(
      fc.property(call, fc.nat(), ({ good, spoilt }, size) => {
        const { answer, before, after } = made(good, spoilt, { size: size % good.layout.min });
        expect([answer, after]).toEqual(['EINVAL', before]);
      }),
      RUNS,
    );
  });

  test('one that ends before it must be read is EFAULT, and does nothing', () => {
    fc.assert(
      fc.property(call, fc.nat(), ({ good, spoilt }, there) => {
        const { answer, before, after } = made(good, spoilt, { bytes: there % good.layout.size });
        expect([answer, after]).toEqual(['EFAULT', before]);
      }),
      RUNS,
    );
  });

  test('of HWPT_ALLOC, the least and all that lies between is what it would be with zeros', () => {
    const good = GOOD.find(({ name }) => name === 'HWPT_ALLOC') as Good;
    for (let size = good.layout.min; size < good.layout.size; size += 4) {
      // What lies beyond the size says something that would be refused.
      const { answer } = made(good, { __reserved2: 9, fault_id: 9, data_len: size > 28 ? 0 : 9 }, { size });
      expect(answer, `size ${size}`).toBe(0);
    }
  });
});

describe('I-81, an object that is not there', () => {
  const IDS: readonly (readonly [call: string, field: string])[] = [
    ['IOVA_RANGES', 'ioas_id'],
    ['MAP', 'ioas_id'],
    ['MAP_FILE', 'ioas_id'],
    ['COPY', 'src_ioas_id'],
    ['COPY', 'dst_ioas_id'],
    ['UNMAP', 'ioas_id'],
    ['VFIO_IOAS', 'ioas_id'],
    ['HWPT_ALLOC', 'dev_id'],
    ['DESTROY', 'id'],
  ];

  test.each(IDS)('%s, %s: ENOENT for any number that is nobody’s, or of somebody else', (name, field) => {
    const good = GOOD.find((it) => it.name === name) as Good;
    const scene = new Scene();
    const hwpt = scene.ioas().hwpts[0]?.id ?? 0;
    const others = field === 'dev_id' ? [scene.id(), hwpt] : field === 'id' ? [] : [scene.devId(), hwpt];
    const nobody = fc.integer({ min: 0, max: 2 ** 32 - 1 }).filter((id) => id === 0 || id > 9);
    fc.assert(
      fc.property(fc.oneof(nobody, fc.constantFrom(0, ...others)), (id) => {
        const { answer, before, after } = made(good, { [field]: id });
        expect([answer, after]).toEqual(['ENOENT', before]);
      }),
      { ...RUNS, numRuns: 20 },
    );
  });

  test('HWPT_ALLOC, pt_id: EINVAL, missing or of a wrong kind', () => {
    const good = GOOD.find(({ name }) => name === 'HWPT_ALLOC') as Good;
    const ids = [0, 99, 2 ** 32 - 1, new Scene().devId()];
    expect(ids.map((id) => made(good, { pt_id: id }).answer)).toEqual(['EINVAL', 'EINVAL', 'EINVAL', 'EINVAL']);
  });

  test('an object that was destroyed is nobody', () => {
    const scene = new Scene();
    const gone = scene.id('spare');
    scene.must({ do: 'destroy', obj: 'spare' });
    for (const [name, field] of IDS) {
      const good = GOOD.find((it) => it.name === name) as Good;
      const values = { ...good.values(scene), [field]: gone };
      expect(scene.raw(good.number, good.layout, values).answer, `${name} ${field}`).toBe('ENOENT');
    }
  });
});

describe('I-83, an answer that cannot be written', () => {
  const tells = GOOD.filter(({ told }) => told !== undefined);
  test('is EFAULT; what maps and unmaps has done it, what makes an object has not', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(call, ({ good, spoilt }) => {
        const writable = made(good, spoilt);
        const untold = made(good, spoilt, { readOnly: true });
        const done = writable.answer === 0 || writable.answer === 'EMSGSIZE';
        if (!done || good.told === undefined) {
          // Nothing to write back.
          expect([untold.answer, untold.after]).toEqual([writable.answer, writable.after]);
          return;
        }
        expect([untold.answer, untold.after]).toEqual([
          'EFAULT',
          good.told === 'undone' ? writable.before : writable.after,
        ]);
        if (good.told === 'kept') expect(untold.after).not.toEqual(untold.before);
        seen.add(good.name);
      }),
      { ...RUNS, numRuns: 300 },
    );
    expect([...seen].sort()).toEqual(tells.map(({ name }) => name).sort());
  });
});

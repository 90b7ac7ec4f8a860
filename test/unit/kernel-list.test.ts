import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { List, type Listed } from '../../impl/kernel/list.ts';

class Member implements Listed<Member> {
  list: object | undefined;
  previous: Member | undefined;
  next: Member | undefined;
  readonly name: number;

  constructor(name: number) {
    this.name = name;
  }
}

const change = fc.record({ adds: fc.boolean(), who: fc.nat(9) });

test('a list has what a set has, in the same order, after any that come and go', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const members = Array.from({ length: 10 }, (_, name) => new Member(name));
      const list = new List<Member>();
      const set = new Set<Member>();
      for (const { adds, who } of changes) {
        const member = members[who] as Member;
        for (const each of [list, set]) {
          if (adds) each.add(member);
          else each.delete(member);
        }
        expect([...list].map(({ name }) => name)).toEqual([...set].map(({ name }) => name));
        expect([list.size, list.has(member)]).toEqual([set.size, set.has(member)]);
      }
    }),
  );
});

test('who leaves a list while it is gone through is met no more, and everybody else is', () => {
  const [a, b, c] = [new Member(0), new Member(1), new Member(2)];
  const list = new List<Member>();
  for (const member of [a, b, c]) list.add(member);
  const met: Member[] = [];
  for (const member of list) {
    met.push(member);
    list.delete(member === a ? b : member);
  }
  expect(met).toEqual([a, c]);
});

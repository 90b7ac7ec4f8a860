/**
 * One numbered rule of a reference text: what holds it here, and the bugs that show that it is held. Each bug is an
 * edit of one file, with which the named test must fail; `npm run mutants` tries them all.
 */

export type CheckKind =
  | 'predicate'
  | 'lock assertion'
  | 'type'
  | 'audit'
  | 'property'
  | 'splat'
  | 'refusal'
  | 'model rule';

/** Something that does not let the rule be broken, or says so when it is: `name` can be found in `file`. */
export interface Check {
  readonly kind: CheckKind;
  readonly file: string;
  readonly name: string;
}

export interface Test {
  readonly file: string;
  /** In full: the titles of its describes, and its own, with blanks between. */
  readonly title: string;
  /** The literals in the file that the title is made of, where it does not stand there as one. */
  readonly of?: readonly string[];
  /** Another file in which they may stand: that of the table which the test goes through. */
  readonly table?: string;
}

/** `from` stands in `file` just once. */
export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A test that fails when this bug is in the code. */
export interface Proof {
  readonly bug: string;
  readonly edit: Edit;
  readonly test: Test;
}

export interface Row {
  readonly id: string;
  /** In one sentence, and in our words. */
  readonly says: string;
  /** One of the four principal properties. */
  readonly core?: true;
  readonly checks: readonly Check[];
  readonly proofs: readonly Proof[];
  /** Why it can never be checked here. */
  readonly impossible?: string;
}

/** First and last of a run of numbers. */
export type Numbers = readonly [prefix: string, first: number, last: number];

/** The numbers of one section. */
export interface Group {
  readonly heading: string;
  readonly numbers: Numbers;
  /** One for each number, in order; or none as yet, which the page says. */
  readonly rows: readonly Row[];
}

/** The numbers of a run, as rows have them. */
export const idsOf = ({ numbers: [prefix, first, last] }: Group): string[] =>
  Array.from({ length: last - first + 1 }, (_, i) => `${prefix}-${String(first + i).padStart(2, '0')}`);

export const check = (kind: CheckKind, file: string, name: string): Check => ({ kind, file, name });
export const edit = (file: string, from: string, to: string): Edit => ({ file, from, to });
export const test = (file: string, title: string, ...of: readonly string[]): Test =>
  of.length === 0 ? { file, title } : { file, title, of };
export const proof = (bug: string, edit: Edit, test: Test): Proof => ({ bug, edit, test });

/** What a row of the table of selftests says: which test of the kernel, and what here does the same. */

/** A test here: its file under `test/`, and its title as it stands there. */
export type Titled = readonly [file: string, title: string];

export interface Row {
  readonly id: string;
  /** Fixture and test, as the kernel's test program prints them; of a derived row, what it shows. */
  readonly name: string;
  /** Traces, under `test/traces/`, without `.json`. */
  readonly traces?: readonly string[];
  readonly tests?: readonly Titled[];
  /** What is done otherwise, and shows the same. */
  readonly note?: string;
  /** What of the test is left out. */
  readonly without?: string;
  /** Why none of it is there. */
  readonly not?: string;
}

/** A test that follows a row step by step. */
export const literal = (file: string, title: string): Titled => [`selftests/${file}.test.ts`, title];
export const unit = (file: string, title: string): Titled => [`unit/${file}.test.ts`, title];

const VARIANTS = ['no-domain', 'mock-domain', 'two-mock-domains'];

/** Traces of a test of `iommufd_ioas`, one for each of its variants. */
export const everyVariant = (name: string): string[] => VARIANTS.map((variant) => `selftests/${name}-${variant}`);
/** The same, as they were recorded. */
export const recorded = (name: string): string[] => VARIANTS.map((variant) => scenario(`selftest-${name}-${variant}`));
export const scenario = (name: string): string => `linux-7.2.13/scenarios/${name}`;
export const traced = (...names: string[]): string[] => names.map((name) => `selftests/${name}`);

export type Status = 'covered' | 'partly' | 'not';

export const statusOf = ({ without, not }: Row): Status => {
  if (not !== undefined) return 'not';
  return without === undefined ? 'covered' : 'partly';
};

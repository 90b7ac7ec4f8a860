/** A property that fails says in its message with what, so that a crash is known as one. */
import * as fc from 'fast-check';

fc.configureGlobal({ includeErrorInReport: true });

/**
 * The JSON Schema of version 2, made from the schemas that read traces. `node trace/json-schema.ts` writes it to
 * `schema.json`; a test fails while that file is stale.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { traceSchema } from './schema.ts';

/** Where the schema is published. */
export const SCHEMA_FILE: string = fileURLToPath(new URL('schema.json', import.meta.url));

/** The text of `schema.json`. Every file of version 1 satisfies it, too. */
export function jsonSchema(): string {
  const { $schema, ...schema } = z.toJSONSchema(traceSchema(2), { io: 'input', target: 'draft-2020-12' });
  const properties = { ...schema.properties, version: { enum: [1, 2] } };
  return `${JSON.stringify({ $schema, title: 'dmabuf-trace', description, ...schema, properties }, null, 2)}\n`;
}

const description = 'One machine, a list of steps, and what each answered and let the devices reach.';

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(SCHEMA_FILE, jsonSchema());

#!/usr/bin/env node
// The command line is TypeScript, run as it is; this launcher only makes sure that Node can strip the types.
if (!process.features.typescript) {
  const cure = '22.18, 24 or newer can, and `npm ci` with npm 11 installs one';
  console.error(`shootdown: Node ${process.version} cannot run TypeScript; ${cure}`);
  process.exit(2);
}
await import('../cli/main.ts');

import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../support/os/program.ts';

/** Imports the file that is its argument, and prints the packages that were loaded. */
const script = `
import { registerHooks } from 'node:module';
const packages = new Set();
registerHooks({
  load(url, context, next) {
    packages.add(/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1]);
    return next(url, context);
  },
});
await import(process.argv[1]);
console.log(JSON.stringify([...packages].filter(Boolean)));
`;

/** The packages that an import of a file of src/ loads. */
function packagesOf(file: string): readonly string[] {
  const path = fileURLToPath(new URL(`../../src/${file}`, import.meta.url));
  return JSON.parse(
    runProgram(process.execPath, '--input-type=module', '--eval', script, path),
  ) as readonly string[];
}

test('the command line loads no package but its parser before it knows the command', () => {
  assert.deepEqual(packagesOf('cli/program.ts'), ['commander']);
});

test('the daemon loads at its start no package that only some work or configuration needs', () => {
  const loaded = packagesOf('daemon.ts');
  assert.ok(loaded.includes('@grpc/grpc-js'), loaded.join());
  const later = ['undici', 'yaml', '@grpc/proto-loader', '@kubernetes/client-node', 'string-width'];
  assert.deepEqual(
    loaded.filter(name => later.includes(name) || name.startsWith('@sigstore/')),
    [],
  );
});

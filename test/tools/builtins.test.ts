import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { builtins } from './builtins.ts';

const program = `
import http, { STATUS_CODES } from 'node:http';
import * as path from 'node:path';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:tls';
const isLoaded = () => process.moduleLoadList.some(name => name.endsWith('internal/tls/wrap'));
const { createHash } = await import('node:crypto');
console.log(JSON.stringify({
  status: STATUS_CODES[200],
  same: http.STATUS_CODES === STATUS_CODES,
  join: path.join('a', 'b'),
  kinds: [typeof http.request, typeof readFile, typeof createHash],
  undici: process.moduleLoadList.some(name => name.includes('undici')),
  late: [isLoaded(), (connect({ port: 1 }).on('error', () => {}), isLoaded())],
}));
`;

test("a bundle has what it imports from Node's modules, and loads nothing for what it does not", async () => {
  await using directory = await temporaryDirectory();
  const [source, bundle] = ['source.mjs', 'bundle.mjs'].map(name => join(directory.path, name));
  assert.ok(source !== undefined && bundle !== undefined);
  writeFileSync(source, program);
  const options = { bundle: true, format: 'esm', platform: 'node', logLevel: 'error' } as const;
  await build({ ...options, entryPoints: [source], outfile: bundle, plugins: [builtins] });
  const results = await Promise.all(
    [bundle, source].map(async file => {
      const { stdout } = await promisify(execFile)(process.execPath, [file]);
      return JSON.parse(stdout) as { readonly undici: boolean };
    }),
  );
  const common = { status: 'OK', same: true, join: 'a/b', kinds: ['function', 'function', 'function'] };
  assert.deepEqual(results[0], { ...common, undici: false, late: [false, true] });
  assert.deepEqual(
    results[1],
    { ...common, undici: true, late: [true, true] },
    'this Node needs no such bundle any more',
  );
});

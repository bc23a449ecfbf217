import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A path of the project, and those of its files that it imports, whatever imports them. */
function reach(path: string, found: Set<string>): void {
  if (found.has(path)) return;
  found.add(path);
  for (const [, specifier = ''] of readFileSync(root + path, 'utf8').matchAll(/from '(\.[^']*)'/g))
    reach(join(dirname(path), specifier), found);
}

test('the programs that build the image find all that they import in the context of the build', () => {
  const context = readFileSync(`${root}.dockerignore`, 'utf8').split('\n');
  const kept = context.filter(line => line.startsWith('!')).map(line => line.slice(1));
  const found = new Set<string>();
  for (const program of ['test/tools/build.ts', 'test/tools/image/tree.ts']) reach(program, found);
  assert.ok(found.size > 3);
  const missing = [...found].filter(
    path => !kept.some(entry => path === entry || path.startsWith(`${entry}/`)),
  );
  assert.deepEqual(missing, []);
});

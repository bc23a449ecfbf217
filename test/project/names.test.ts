import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../../src/', import.meta.url));
const generated = 'grpc/wire/';

/** The names that more than one file exports as a type, and these files. */
function findShared(files: readonly { readonly path: string; readonly text: string }[]): readonly string[] {
  const paths = new Map<string, string[]>();
  for (const { path, text } of files)
    for (const { groups } of text.matchAll(/^export (?:type|interface|class) (?<name>\w+)\b/gm)) {
      const name = groups?.['name'] ?? '';
      paths.set(name, [...(paths.get(name) ?? []), path]);
    }
  return [...paths].filter(([, of]) => of.length > 1).map(([name, of]) => `${name}: ${of.join(', ')}`);
}

test('the name of an exported type stands for one thing', () => {
  const files = globSync('**/*.ts', { cwd: source })
    .filter(path => !path.endsWith('.test.ts') && !path.startsWith(generated))
    .toSorted()
    .map(path => ({ path, text: readFileSync(source + path, 'utf8') }));
  assert.deepEqual(findShared(files), []);
  const planted = ['a.ts', 'b.ts'].map(path => ({ path, text: 'export type Place = string;\n' }));
  assert.deepEqual(findShared(planted), ['Place: a.ts, b.ts']);
});

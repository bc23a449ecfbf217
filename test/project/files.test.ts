import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../../src/', import.meta.url));

test('no file of the program has more than 250 lines, and half of them have at most 70', () => {
  const files = globSync('**/*.ts', { cwd: source })
    .filter(path => !path.endsWith('.test.ts') && !path.startsWith('grpc/wire/'))
    .map(path => ({ path, lines: readFileSync(source + path, 'utf8').split('\n').length - 1 }))
    .toSorted((a, b) => a.lines - b.lines);
  const long = files.filter(({ lines }) => lines > 250).map(({ path, lines }) => `${path}: ${lines}`);
  assert.deepEqual(long, []);
  const median = files[Math.floor(files.length / 2)];
  assert.ok(median !== undefined && median.lines <= 70, `the median is ${median?.lines}`);
});

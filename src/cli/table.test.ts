import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatTable, type TableHeader } from './table.ts';
import { widthOf } from './width.ts';

const header: TableHeader = {
  REFERENCE: 'key',
  DIGEST: 'digest',
  TYPE: 'spare',
  SIZE: 'fixed',
  USED: 'spare',
};
const rows = [
  ['localhost:5000/models/big:1', 'sha256:6be4f155aaaa', 'application/vnd.example.model', '300.0 MiB', '3h'],
  ['registry.example.com/a/large-language-model:1', 'sha256:f1556be4bbbb', '-', '12 B', 'never'],
];

/** A table of `columns`, by line. */
function linesOf(columns: number): readonly string[] {
  return formatTable(header, rows, columns).trimEnd().split('\n');
}

test('a table is aligned, and no cell can add a row or a column', () => {
  const table = formatTable({ A: 'key', LONG: 'fixed' }, [
    ['x', 'y'],
    ['wide\nz', ''],
  ]);
  assert.equal(table, 'A            LONG\nx            y\nwide\\u000az\n');
});

test('a narrow table loses algorithms, then spare columns, and keeps digests and tags', () => {
  assert.deepEqual(linesOf(200), formatTable(header, rows).trimEnd().split('\n'));
  assert.deepEqual(linesOf(108), [
    'REFERENCE                                      DIGEST        TYPE                           SIZE       USED',
    'localhost:5000/models/big:1                    6be4f155aaaa  application/vnd.example.model  300.0 MiB  3h',
    'registry.example.com/a/large-language-model:1  f1556be4bbbb  -                              12 B       never',
  ]);
  assert.deepEqual(linesOf(95), [
    'REFERENCE                                      DIGEST        TYPE              SIZE       USED',
    'localhost:5000/models/big:1                    6be4f155aaaa  appli…mple.model  300.0 MiB  3h',
    'registry.example.com/a/large-language-model:1  f1556be4bbbb  -                 12 B       never',
  ]);
  assert.deepEqual(linesOf(80), [
    'REFERENCE                                      DIGEST        SIZE       USED',
    'localhost:5000/models/big:1                    6be4f155aaaa  300.0 MiB  3h',
    'registry.example.com/a/large-language-model:1  f1556be4bbbb  12 B       never',
  ]);
  assert.deepEqual(linesOf(50), [
    'REFERENCE                  DIGEST        SIZE',
    'localhos…000/models/big:1  6be4f155aaaa  300.0 MiB',
    'registry…language-model:1  f1556be4bbbb  12 B',
  ]);
});

test('a reference with a digest keeps its repository', () => {
  const pinned = `registry.example.com/models/big@sha256:${'6be4'.repeat(16)}`;
  const [, row] = formatTable({ REFERENCE: 'key', SIZE: 'fixed' }, [[pinned, '1 B']], 50).split('\n');
  assert.equal(row, 'registry.example.com/models/big@sha256:6be4…  1 B');
});

test('a table is no wider than its terminal while its columns can be cut', () => {
  const cell = fc.string({ unit: 'grapheme' });
  const row = fc.tuple(cell, fc.constant('sha256:6be4f155aaaa'), cell, fc.constant('1 B'), cell);
  fc.assert(
    fc.property(fc.array(row, { maxLength: 4 }), fc.integer({ min: 36, max: 200 }), (cells, columns) => {
      const lines = formatTable(header, cells, columns).trimEnd().split('\n');
      for (const line of lines) assert.ok(widthOf(line) <= columns, line);
      for (const line of lines.slice(1)) assert.match(line, /6be4f155aaaa/);
    }),
  );
});

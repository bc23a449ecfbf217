import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAge, formatCount, formatDigest } from '../util/words.ts';
import { formatFields, formatTable } from './text.ts';

test('a table is aligned, and no cell can add a row or a column', () => {
  const table = formatTable(
    ['A', 'LONG'],
    [
      ['x', 'y'],
      ['wide\nz', ''],
    ],
  );
  assert.equal(table, 'A            LONG\nx            y\nwide\\u000az\n');
});

test('a table fits the terminal: its widest columns are cut, evenly, and wide characters count twice', () => {
  const rows = [
    ['registry.example.com/models/large-language-model:1', 'sha256:abababababab', '模型模型模型模型'],
    ['a:1', 'sha256:cdcdcdcdcdcd', 'x'],
  ];
  assert.equal(
    formatTable(['REFERENCE', 'DIGEST', 'NAME'], rows, 46),
    [
      'REFERENCE       DIGEST          NAME',
      'registry.exam…  sha256:ababab…  模型模型模型…',
      'a:1             sha256:cdcdcd…  x',
      '',
    ].join('\n'),
  );
  assert.match(
    formatTable(['REFERENCE', 'DIGEST', 'NAME'], rows),
    /language-model:1 {2}sha256:abababababab {2}/,
  );
  assert.match(
    formatTable(['REFERENCE'], [['a-name-of-some-length']], 3),
    /^a-name-o…$/m,
    'some of each is left',
  );
});

test('fields are aligned, and neither name nor value can add one', () => {
  assert.equal(
    formatFields([
      ['a', '1'],
      ['long', '2'],
    ]),
    'a:    1\nlong: 2\n',
  );
  assert.equal(formatFields([['a\n\u001b[2J', '1\nb: 2']]), 'a\\u000a\\u001b[2J: 1\\u000ab: 2\n');
});

test('an age has one unit', () => {
  const minute = 60_000;
  const table: [number, string][] = [
    [-5, '0s'],
    [0, '0s'],
    [119_999, '119s'],
    [2 * minute, '2m'],
    [119 * minute, '119m'],
    [120 * minute, '2h'],
    [47 * 60 * minute, '47h'],
    [48 * 60 * minute, '2d'],
    [400 * 24 * 60 * minute, '400d'],
  ];
  for (const [milliseconds, text] of table) assert.equal(formatAge(milliseconds), text);
});

test('a digest is cut to its algorithm and twelve digits, a count has its noun', () => {
  assert.equal(formatDigest(`sha256:${'ab'.repeat(32)}`, false), 'sha256:abababababab');
  assert.equal(formatDigest(`sha512:${'ab'.repeat(64)}`, false), 'sha512:abababababab');
  assert.equal(formatDigest(`sha256:${'ab'.repeat(32)}`, true), `sha256:${'ab'.repeat(32)}`);
  assert.deepEqual(
    [formatCount(0, 'pod'), formatCount(1, 'pod'), formatCount(2, 'pod')],
    ['0 pods', '1 pod', '2 pods'],
  );
});

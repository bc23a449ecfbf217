import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAge, formatCount, formatDigest, toDate } from '../util/words.ts';
import { formatFields } from './text.ts';

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

test('every number of milliseconds is a date with a text', () => {
  for (const [milliseconds, text] of [
    [0, '1970-01-01T00:00:00.000Z'],
    [8.64e15, '+275760-09-13T00:00:00.000Z'],
    [8.64e15 + 1, '+275760-09-13T00:00:00.000Z'],
    [Infinity, '+275760-09-13T00:00:00.000Z'],
    [-9e15, '-271821-04-20T00:00:00.000Z'],
  ] as const)
    assert.equal(toDate(milliseconds).toISOString(), text);
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

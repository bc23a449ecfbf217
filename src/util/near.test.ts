import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findNear, suggest } from './near.ts';

const known = ['prefix', 'location', 'insecure', 'blocked', 'mirror', 'mirror-by-digest-only', 'keyPath'];
const table: readonly (readonly [word: string, meant: string | undefined])[] = [
  ['locatoin', 'location'],
  ['loction', 'location'],
  ['locations', 'location'],
  ['Insecure', 'insecure'],
  ['insecur', 'insecure'],
  ['keypath', 'keyPath'],
  ['mirror-by-digest', undefined],
  ['mirrors', 'mirror'],
  ['blokcde', 'blocked'],
  ['surprise', undefined],
  ['pre', undefined],
  ['', undefined],
  ['x'.repeat(100_000), undefined],
];

for (const [word, meant] of table) {
  test(`${word.slice(0, 20) || 'nothing'} is ${meant === undefined ? 'no word mistyped' : `${meant} mistyped`}`, () => {
    assert.equal(findNear(word, known), meant);
    assert.equal(suggest(word, known), meant === undefined ? '' : ` (did you mean ${meant}?)`);
  });
}

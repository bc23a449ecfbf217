import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseGoDuration } from './go-duration.ts';

const rows: readonly (readonly [text: string, ms: number | undefined])[] = [
  ['12h', 43_200_000],
  ['12h0m0s', 43_200_000],
  ['1h15m30.918s', 4_530_918],
  ['1.5h', 5_400_000],
  ['.5s', 500],
  ['5.s', 5_000],
  ['300ms', 300],
  ['1µs', 0.001],
  ['0', 0],
  ['0s', 0],
  ['-1m', -60_000],
  ['+1m', 60_000],
  ['', undefined],
  ['-', undefined],
  ['12', undefined],
  ['12 h', undefined],
  ['12d', undefined],
  ['h', undefined],
  ['1.2.3s', undefined],
  ['--1s', undefined],
  ['1s\n', undefined],
];
for (const [text, ms] of rows) {
  test(`${JSON.stringify(text)} is ${ms ?? 'not a duration'}`, () => assert.equal(parseGoDuration(text), ms));
}

test('any whole number of hours, minutes and seconds is their sum', () => {
  const part = fc.nat(10_000);
  fc.assert(
    fc.property(part, part, part, (h, m, s) => {
      assert.equal(parseGoDuration(`${h}h${m}m${s}s`), ((h * 60 + m) * 60 + s) * 1000);
    }),
  );
});

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { stampOf, stampOfStat } from './file-stamp.ts';

const of = (ctimeMs: bigint) => Object.assign(statSync(import.meta.filename, { bigint: true }), { ctimeMs });

test('a file that has settled has one stamp, and another where its time of change alone is another', () => {
  const settled = of(0n);
  assert.equal(stampOfStat(settled), stampOfStat(of(0n)));
  const changed = Object.assign(of(0n), { ctimeNs: settled.ctimeNs + 1n });
  assert.notEqual(stampOfStat(changed), stampOfStat(settled));
});

test('a file that changed just now has another stamp at each look: its clock may not tell the next change', () => {
  const young = of(BigInt(Date.now() + 60_000));
  assert.notEqual(stampOfStat(young), stampOfStat(young));
});

test('what is not there has a stamp that says so', () => {
  assert.equal(stampOf('/nowhere'), 'ENOENT');
});

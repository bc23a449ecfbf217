import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describePem, hasPem } from './pem.ts';

const block = (label: string): string => `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----\n`;

test('what is in a file that should be PEM is described without its content', () => {
  for (const [text, description] of [
    ['', 'nothing'],
    [' \n', 'nothing'],
    ['hello', 'no PEM block'],
    ['0\u0082\u0003\u00a1', /^binary data, perhaps DER: /],
    ['0\ufffd\u0003', /^binary data, perhaps DER: /],
    [block('CERTIFICATE REQUEST'), 'one block, CERTIFICATE REQUEST'],
    [block('PRIVATE KEY').repeat(2), '2 blocks, PRIVATE KEY'],
    [block('CERTIFICATE') + block('PRIVATE KEY'), '2 blocks, CERTIFICATE, and 1 other kind'],
  ] as const) {
    if (typeof description === 'string') assert.equal(describePem(text), description);
    else assert.match(describePem(text), description);
  }
});

test('a block is found by its label', () => {
  assert.ok(hasPem(`${block('EC PARAMETERS')}${block('EC PRIVATE KEY')}`, /^EC PRIVATE KEY$/));
  assert.ok(!hasPem(block('ENCRYPTED PRIVATE KEY'), /^PRIVATE KEY$/));
});

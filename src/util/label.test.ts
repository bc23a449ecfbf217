import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLabels } from './label.ts';

test('labels are parsed as kubectl writes them', () => {
  assert.deepEqual(parseLabels('topology.kubernetes.io/zone=eu-1a,rack=R_7.b'), {
    'topology.kubernetes.io/zone': 'eu-1a',
    rack: 'R_7.b',
  });
});

for (const text of [
  '',
  'zone',
  'zone=',
  '=a',
  'a/b/c=d',
  'zone=a/b',
  'zone=a:1',
  'zone=a=b',
  'a=b,',
  `a=${'x'.repeat(64)}`,
])
  test(`${JSON.stringify(text)} is refused as labels`, () => {
    assert.throws(() => parseLabels(text), {
      code: 'invalid',
      message: /^invalid label .*: must be key=value/,
    });
  });

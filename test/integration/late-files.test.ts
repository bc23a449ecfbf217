import assert from 'node:assert/strict';
import { test } from 'node:test';
import { strain } from '../support/late/strain.ts';
import { needs } from '../support/project/tools.ts';

test(
  'no reader sees a wrong byte while bytes come, are refused, and processes are killed',
  needs('root'),
  async t => {
    const found = await strain({ readers: 3, milliseconds: 4000, isDirect: false });
    t.diagnostic(JSON.stringify(found));
    assert.deepEqual(found.wrong, []);
    assert.ok(found.right > 100 && found.asked > 10, JSON.stringify(found));
  },
);

import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { small } from '../../test/support/oci/small-tar.ts';
import { anyLimits, openUnpacking } from '../../test/support/oci/unpacking.ts';
import { toDigest } from '../oci/digest.ts';
import { unpackLayer } from './job.ts';
import { setXattrs } from './xattrs.ts';

const { directory } = await openUnpacking();

test('the diffId of a plain tar is its verified digest', async () => {
  const source = join(directory, 'plain');
  writeFileSync(source, small);
  const into = mkdtempSync(join(directory, 'into-'));
  const verified = toDigest('sha256', 'b'.repeat(64));
  const { diffId } = await unpackLayer(
    { source, digest: verified, into, form: 'bodies', limits: anyLimits },
    { setXattrs, grow: async () => {}, more: () => assert.fail() },
    new AbortController().signal,
  );
  assert.equal(diffId, verified);
});

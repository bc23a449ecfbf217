import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest } from '../../../test/support/samples.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Freed } from '../../ports/usecases.ts';
import { onFolder, runShell } from '../../../test/support/shell.ts';

test('rm and prune say what they freed', async () => {
  const artifacts = {
    remove: async () => ({ artifacts: 1, bytes: 2 ** 20 }),
    prune: async () => ({ artifacts: 2, bytes: 0 }),
  };
  assert.equal((await runShell(['rm', 'z:1'], { artifacts })).stdout, 'freed 1.0 MiB, 1 artifact\n');
  assert.equal((await runShell(['prune'], { artifacts })).stdout, 'freed 0 B, 2 artifacts\n');
  const { json } = await runShell(['prune', '--output', 'json'], { artifacts });
  assert.deepEqual(json, { artifacts: 2, bytes: 0 });
});

test('rm takes several references, and names those that it removed before one that it may not', async () => {
  const remove = async (reference: string): Promise<Freed> => {
    if (reference === 'held:1') throw new ArtifactError('denied', 'held:1 is pinned; `unpin held:1` first');
    return { artifacts: 1, bytes: 512 };
  };
  const both = await runShell(['rm', 'a:1', 'b:1'], { artifacts: { remove } });
  assert.equal(both.stdout, 'freed 1.0 KiB, 2 artifacts\n');
  const half = await runShell(['rm', '-o', 'json', 'a:1', 'held:1', 'c:1'], { artifacts: { remove } });
  assert.equal(half.code, 5);
  assert.deepEqual(half.json, { removed: ['a:1'], artifacts: 1, bytes: 512 });
  assert.partialDeepStrictEqual(JSON.parse(half.stderr), { error: { code: 'denied' } });
  assert.equal((await runShell(['rmi', '-q', 'a:1', 'b:1'], { artifacts: { remove } })).stdout, 'a:1\nb:1\n');
});

test('pin and unpin name what they did', async () => {
  const artifacts = { pin: async () => digest, unpin: async () => {} };
  assert.equal((await runShell(['pin', 'z:1'], { artifacts })).stdout, `pinned z:1 at ${digest}\n`);
  assert.deepEqual((await runShell(['pin', 'z:1', '--output=json'], { artifacts })).json, {
    reference: 'z:1',
    digest,
  });
  assert.equal((await runShell(['unpin', 'z:1'], { artifacts })).stdout, 'unpinned z:1\n');
});

test('fsck names what is wrong and exits 7, or 0 when it was repaired', async () => {
  const finding = { path: 'blobs/sha256/ab', problem: 'the digest is another' };
  const artifacts = {
    fsck: async (
      repair: boolean,
      tell: (found: typeof finding & { repaired: boolean }) => void,
      _: AbortSignal,
      onProgress?: (reached: { bytes: number; totalBytes: number }) => void,
    ) => {
      onProgress?.({ bytes: 512, totalBytes: 1024 });
      tell({ ...finding, repaired: repair });
      return { checked: 12 };
    },
  };
  const found = await runShell(['fsck'], { artifacts });
  assert.equal(found.code, 7);
  assert.equal(
    found.stdout,
    'blobs/sha256/ab: the digest is another\n12 items checked, 1 wrong; fsck --repair takes it out of use\n',
  );
  assert.equal(found.stderr, `${onFolder}check 50 % (512 B of 1.0 KiB)\n`);
  const repaired = await runShell(['fsck', '--repair', '--output', 'json'], { artifacts });
  assert.equal(repaired.code, 0);
  assert.equal(repaired.stderr, '');
  assert.deepEqual(repaired.json, { checked: 12, wrong: 1, findings: [{ ...finding, repaired: true }] });
  assert.equal((await runShell(['fsck', '-q'], { artifacts })).stdout, 'blobs/sha256/ab\n');
  const clean = await runShell(['fsck'], { artifacts: { fsck: async () => ({ checked: 1 }) } });
  assert.equal(clean.stdout, '1 item checked, 0 wrong\n');
});

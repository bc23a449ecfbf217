import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest, other } from '../../../test/support/node/samples.ts';
import { runShell } from '../../../test/support/node/shell.ts';
import type { Pruned, Removed } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';

const removed = (reference: string, bytes: number, keptBy: readonly string[] = []): Removed => ({
  reference: `r.example/${reference}`,
  digest,
  artifacts: 1,
  bytes,
  keptBy,
});

const pruned: Pruned = {
  artifacts: 1,
  bytes: 3 * 1024,
  items: [
    { reference: 'r.example/a:1', digest, bytes: 2048 },
    { digest: other, bytes: 1024 },
  ],
};

test('prune at a terminal asks with what it would free, and frees on yes alone', async () => {
  for (const [answer, isFreed] of [
    ['y\n', true],
    [' YES \n', true],
    ['n\n', false],
    ['\n', false],
    ['yesterday\n', false],
    ['', false],
  ] as const) {
    let freed = 0;
    const artifacts = {
      previewPrune: async () => pruned,
      prune: async () => {
        freed++;
        return pruned;
      },
    };
    const ran = await runShell(['prune'], { artifacts, answers: answer });
    assert.ok(ran.stderr.includes('Free 1 artifact, 3.0 KiB? [y/N] '), ran.stderr);
    assert.equal(freed, isFreed ? 1 : 0, answer);
    assert.equal(ran.code, isFreed ? 0 : 130);
    assert.match(
      isFreed ? ran.stdout : ran.stderr,
      isFreed ? /^freed 3\.0 KiB, 1 artifact$/m : /nothing was freed/,
    );
  }
});

test('prune without a terminal frees only with --yes', async () => {
  const ran = await runShell(['prune']); // which has nothing to call
  assert.equal(ran.code, 2);
  assert.match(
    ran.stderr,
    /nobody can be asked; list what it would free with --dry-run, and free it with --yes$/m,
  );
  const { stdout } = await runShell(['prune', '--yes'], { artifacts: { prune: async () => pruned } });
  assert.equal(stdout, 'freed 3.0 KiB, 1 artifact\n');
});

test('prune asks nothing with --yes', async () => {
  const artifacts = { prune: async () => pruned };
  for (const yes of ['-y', '--yes']) {
    const ran = await runShell(['prune', yes], { artifacts, answers: '' });
    assert.equal(ran.stdout, 'freed 3.0 KiB, 1 artifact\n');
    assert.doesNotMatch(ran.stderr, /\?/);
  }
  const { json } = await runShell(['prune', '--yes', '--output', 'json'], { artifacts });
  assert.deepEqual(json, pruned);
});

test('a prune that frees nothing asks nothing', async () => {
  const nothing = async () => ({ artifacts: 0, bytes: 0, items: [] });
  const ran = await runShell(['prune'], {
    artifacts: { previewPrune: nothing, prune: nothing },
    answers: '',
  });
  assert.equal(ran.stdout, 'freed 0 B, 0 artifacts\n');
});

test('prune --dry-run lists what would be freed, and frees nothing', async () => {
  const artifacts = { previewPrune: async () => pruned };
  const ran = await runShell(['prune', '--dry-run'], { artifacts });
  assert.equal(
    ran.stdout,
    [
      'REFERENCE      DIGEST               SIZE',
      'r.example/a:1  sha256:abababababab  2.0 KiB',
      '-              sha512:cdcdcdcdcdcd  1.0 KiB',
      'would free 3.0 KiB, 1 artifact',
      '',
    ].join('\n'),
  );
  const { json } = await runShell(['prune', '--dry-run', '--output', 'json'], { artifacts });
  assert.deepEqual(json, pruned);
  const { stdout } = await runShell(['prune', '--dry-run', '-q'], { artifacts });
  assert.equal(stdout, `r.example/a:1\n${other}\n`);
});

test('rm prints what it removed, and what uses the content that stays', async () => {
  const others = ['b:1', 'c:1', 'd:1', 'e:1', 'the pin of f:1', 'the volume at /g'];
  const remove = async (reference: string): Promise<Removed> =>
    removed(reference, 512, reference === 'shared:1' ? others : []);
  const ran = await runShell(['rm', 'a:1', 'shared:1'], { artifacts: { remove } });
  assert.equal(
    ran.stdout,
    [
      'removed r.example/a:1 (sha256:abababababab)',
      'removed r.example/shared:1 (sha256:abababababab)',
      'kept what is also used by b:1, c:1, d:1, e:1, the pin of f:1, 1 more',
      'freed 1.0 KiB, 2 artifacts',
      '',
    ].join('\n'),
  );
  const whole = await runShell(['rm', '--no-trunc', 'a:1'], { artifacts: { remove } });
  assert.ok(whole.stdout.startsWith(`removed r.example/a:1 (${digest})\n`));
});

test('rm takes several references, and names those that it removed before one that it may not', async () => {
  const remove = async (reference: string): Promise<Removed> => {
    if (reference === 'held:1') throw new ArtifactError('denied', 'held:1 is pinned; `unpin held:1` first');
    return removed(reference, 512);
  };
  const half = await runShell(['rm', '-o', 'json', 'a:1', 'held:1', 'c:1'], { artifacts: { remove } });
  assert.equal(half.code, 5);
  const gone = [{ reference: 'r.example/a:1', digest, keptBy: [] }];
  assert.deepEqual(half.json, { removed: gone, artifacts: 1, bytes: 512 });
  assert.partialDeepStrictEqual(JSON.parse(half.stderr), { error: { code: 'denied' } });
  const names = await runShell(['rmi', '-q', 'a:1', 'b:1'], { artifacts: { remove } });
  assert.equal(names.stdout, 'r.example/a:1\nr.example/b:1\n');
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

test('fsck prints findings and exits 7, or 0 if they were repaired', async () => {
  const finding = {
    path: 'blobs/sha256/ab',
    problem: 'the digest is another',
    artifacts: ['r.example/a:1', 'r.example/b:1'],
    keptBy: [] as string[],
  };
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
    'blobs/sha256/ab: the digest is another\n  needed by r.example/a:1, r.example/b:1\n12 objects checked, 1 damaged; fsck --repair takes it out of use, and a pod that has it keeps it until it is deleted\n',
  );
  assert.equal(found.stderr, 'check 50 % (512 B of 1.0 KiB)\n');
  const repaired = await runShell(['fsck', '--repair', '--output', 'json'], { artifacts });
  assert.equal(repaired.code, 0);
  assert.equal(repaired.stderr, '');
  assert.deepEqual(repaired.json, { checked: 12, wrong: 1, findings: [{ ...finding, repaired: true }] });
  assert.equal((await runShell(['fsck', '-q'], { artifacts })).stdout, 'blobs/sha256/ab\n');
  const kept = async (_: boolean, tell: (found: typeof finding & { repaired: boolean }) => void) => {
    tell({ ...finding, repaired: false });
    return { checked: 12 };
  };
  const left = await runShell(['fsck', '--repair'], { artifacts: { fsck: kept } });
  assert.equal(left.code, 7);
  assert.match(left.stdout, /\n12 objects checked, 1 damaged, 1 not repaired\n$/);
  const keptOnly = await runShell(['fsck'], {
    artifacts: {
      fsck: async (_, tell) => {
        await tell({ ...finding, artifacts: [], keptBy: ['shop/web-0'], repaired: false });
        return { checked: 12 };
      },
    },
  });
  assert.equal(keptOnly.code, 7);
  assert.equal(
    keptOnly.stdout,
    'blobs/sha256/ab: the digest is another\n  kept only by shop/web-0\n12 objects checked, 1 damaged; what is left is out of use, and ends with what keeps it\n',
  );
  const clean = await runShell(['fsck'], { artifacts: { fsck: async () => ({ checked: 1 }) } });
  assert.equal(clean.stdout, '1 object checked, 0 damaged\n');
});

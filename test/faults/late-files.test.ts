import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Strained, strain } from '../support/late/strain.ts';
import { openLateVolume } from '../support/late/volume.ts';
import { needs } from '../support/project/tools.ts';

const reads = 100_000;

for (const isDirect of [false, true])
  test(
    `of ${reads / 2} reads of late files, ${isDirect ? 'past the page cache' : 'cached'}, none has a wrong byte`,
    needs('root'),
    async t => {
      const rounds: Strained[] = [];
      for (let right = 0; right < reads / 2; right += rounds.at(-1)?.right ?? 0)
        rounds.push(
          await strain({
            readers: 8,
            milliseconds: 10_000,
            isDirect,
            disturb: () => writeFileSync('/proc/sys/vm/drop_caches', '1'),
          }),
        );
      t.diagnostic(JSON.stringify(rounds));
      assert.deepEqual(
        rounds.flatMap(({ wrong }) => wrong),
        [],
      );
      for (const what of ['asked', 'killed', 'refused'] as const)
        assert.ok(rounds.reduce((sum, round) => sum + round[what], 0) > 0, what);
    },
  );

test(
  'the kernel ends the reads of a server that hangs, and present bytes are read on',
  needs('root'),
  async () => {
    await using volume = await openLateVolume({ timeoutSeconds: 5 });
    await volume.tell({ kind: 'arrive', chunks: [1] });
    volume.server.kill('SIGSTOP');
    const waits = volume.look('pread', 0, 2000);
    assert.equal(await volume.look('mmap', 2 ** 20, 2 ** 20).found, 'right');
    assert.equal(await waits.found, 'EIO'); // Linux 6.14 and later look for it every 15 seconds
    await volume.heal();
    assert.equal(await volume.look('mmap', 0, volume.shape.size).found, 'right');
  },
);

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { mountsAt } from '../support/node/volume.ts';
import { cpuWaitOf } from '../support/os/cpu-time.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const blobCount = 10_000;
const volumeCount = 200;
/** The quickest counts: what else runs on the machine and its disk only adds. */
const starts = 30;
const enoughMs = 500;

test('a start with 10,000 blobs in the cache and 200 volumes is ready in half a second', async t => {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const { reference } = await registry.push('model', 'v1', [{ name: 'f', bytes: Buffer.from('x') }]);
  const requests = await Promise.all(
    Array.from({ length: volumeCount }, () => publishRequest(node, { reference })),
  );
  const env = { NODE_COMPILE_CACHE: join(node.path, 'compiled') };
  const times = async (): Promise<readonly number[]> => {
    const all: number[] = [];
    for (let nth = 0; nth < starts && !(nth >= 7 && Math.min(...all) < enoughMs); nth++) {
      const begin = performance.now();
      await using daemon = await startDaemon(node, { env });
      all.push(performance.now() - begin - cpuWaitOf(daemon.pid));
      await daemon.end('SIGTERM');
    }
    return all.toSorted((a, b) => a - b);
  };
  const empty = await times();
  {
    await using daemon = await startDaemon(node, { env });
    await Promise.all(requests.map(request => daemon.csi.NodePublishVolume(request)));
  }
  for (let nth = 0; nth < blobCount; nth++) {
    const bytes = `blob ${nth}`;
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(node.stateDir, 'blobs/sha256', hex), bytes);
  }
  const full = await times();
  for (const { target_path } of requests) assert.equal(mountsAt(target_path).length, 1);

  const show = (all: readonly number[]): string => all.map(ms => ms.toFixed(0)).join(', ');
  t.diagnostic(
    `ms from spawn to ready, of which its main thread did not wait for a CPU: ${show(empty)} empty; ${show(full)} full`,
  );
  const [quickest = Number.POSITIVE_INFINITY] = full;
  assert.ok(quickest < enoughMs, `${quickest} ms`);
});

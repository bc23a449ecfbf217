import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';

/** A daemon with a bug: SIGUSR2 makes a promise fail that nothing handles, and for the third time throws. */
const faulty = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(`
    import { isMainThread } from 'node:worker_threads';
    let signals = 0;
    if (isMainThread && process.argv[2] === 'serve')
      process.on('SIGUSR2', () => {
        const error = new Error('EIO: ' + ++signals);
        if (signals > 2) throw error;
        void Promise.reject(error);
      });
  `)}`,
};

const unhandled = async ({ http }: TestDaemon): Promise<string | undefined> =>
  /^oci_artifact_csi_unhandled_rejections_total (\d+)$/m.exec(
    await (await fetch(`${http}/metrics`)).text(),
  )?.[1];

test('a daemon outlives failures that nothing handles, logs and counts them, and ends by an exception', async () => {
  await using node = await testNode();
  await using daemon = await startDaemon(node, { env: faulty });
  assert.equal(await unhandled(daemon), '0');
  for (const nth of ['1', '2']) {
    process.kill(daemon.pid, 'SIGUSR2');
    await waitUntil(daemon, () => daemon.output().includes(`EIO: ${nth}`), 'logging the failure');
    await waitUntil(daemon, async () => (await unhandled(daemon)) === nth, 'counting it'); // scrapes share an answer
    assert.equal((await daemon.identity.Probe({})).ready?.value, true);
  }
  assert.match(daemon.output(), /"level":"error",.*"err":\{.*"stack":.*please report it with this line/);
  assert.notEqual(await daemon.end('SIGUSR2'), 0);
  assert.match(daemon.output(), /"level":"fatal",.*EIO: 3.*please report it with this line/);
});

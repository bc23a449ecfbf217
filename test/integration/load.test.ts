import assert from 'node:assert/strict';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { startCommand } from '../support/node/command.ts';
import { startDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { tarOf } from '../support/oci/tar.ts';
import { needs } from '../support/project/tools.ts';

/** Starts a load of what comes on standard input, and waits until it reads. */
async function startLoad(node: TestNode): Promise<ChildProcessWithoutNullStreams> {
  const child = startCommand(node, ['load', '-', 'offline.test/m:v1']);
  child.stdin.on('error', () => undefined); // a command that ends early does not read it
  const archive = await tarOf([[{ name: 'oci-layout' }, 'x'.repeat(1024 * 1024)]]);
  // More than a pipe holds: when it is written, some of it has been read.
  await new Promise<unknown>(written => child.stdin.write(archive.subarray(0, 512 * 1024), written));
  return child;
}

type Ended = { readonly code: number | null; readonly stderr: string };

/** How it ends by itself, although its input does not. */
async function endOf(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  const [stderr] = await Promise.all([text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, stderr: stderr.split('\n').at(-2) ?? '' };
}

const interrupted = {
  code: 130,
  stderr: 'oci-artifact-csi: interrupted; the layout on standard input is not loaded; load it again',
};

test('a load from an open input ends as soon as it is interrupted', needs('root'), async () => {
  await using node = await testNode();
  for (const through of ['daemon', 'state directory']) {
    await using stack = new AsyncDisposableStack();
    if (through === 'daemon') stack.use(await startDaemon(node));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const child = await startLoad(node);
      child.kill(signal);
      assert.deepEqual(await endOf(child), interrupted, `${through}, ${signal}`);
    }
  }
});

test('a load ends as soon as its daemon is gone, and reports it', needs('root'), async () => {
  await using node = await testNode();
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await using daemon = await startDaemon(node);
    const child = await startLoad(node);
    const [{ code, stderr }] = await Promise.all([endOf(child), daemon.end(signal)]);
    assert.equal(code, 8, signal);
    const said =
      signal === 'SIGKILL'
        ? /standard input: the daemon at unix:\S+ has ended, or does not listen; its log may say why$/
        : /standard input: the daemon is stopping; .*run a command again when the daemon is back$/;
    assert.match(stderr, said);
  }
});

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { PullStatus } from '../../src/ports/usecases.ts';
import { type Child, startChild, waitUntil } from '../support/node/child.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { shownOf, verifyVolume } from '../support/node/volume.ts';
import type { Fault } from '../support/registry/fault.ts';

/** What becomes of pulls whose callers leave, by a daemon and commands in processes of their own. */

const MiB = 1024 * 1024;

const { registry, node, daemon } = await openSetting();

let pushed = 0;
const slow = new Set<string>();

/** An artifact of 8 MiB that takes so long to come, longer than any test waits, until `release` is called, and of others. */
async function pushSlow(
  seconds = 600,
  others: readonly { readonly name: string; readonly bytes: Buffer }[] = [],
) {
  const bytes = randomBytes(8 * MiB);
  const { reference, layers } = await registry.push(`pulls-${++pushed}`, 'v1', [
    { name: 'model', bytes },
    ...others,
  ]);
  const { digest = '' } = layers[0] ?? {};
  slow.add(digest);
  registry.fault(({ path }) =>
    slow.has(path.slice(path.lastIndexOf('/') + 1))
      ? { kind: 'slow', bytesPerSecond: bytes.length / seconds }
      : undefined,
  );
  return {
    reference,
    shown: shownOf([['model', bytes], ...others.map(({ name, bytes: content }) => [name, content] as const)]),
    release: () => void slow.delete(digest),
  };
}

/** The program as a user starts it on that node. */
function command(...argv: readonly string[]): Promise<Child> {
  const env = { PATH: process.env['PATH'], CSI_ENDPOINT: `unix://${node.socket}` };
  return startChild(process.execPath, [main, ...argv], { env });
}

async function outputOf(
  ...argv: readonly string[]
): Promise<{ readonly code: unknown; readonly output: string }> {
  await using child = await command(...argv);
  await waitUntil(daemon, () => !child.alive(), `${argv.join(' ')} to end`);
  return { code: await child.end('SIGTERM'), output: child.output() };
}

async function pulls(): Promise<readonly PullStatus[]> {
  const { output } = await outputOf('status', '--output', 'json');
  return (JSON.parse(output) as { readonly pulls: readonly PullStatus[] }).pulls;
}

const listed = async () => (await daemon.artifacts.ListPulls({})).pulls;
const underWay = async (): Promise<number> => (await listed()).length;
const downloading = (what: string): Promise<void> =>
  waitUntil(daemon, async () => (await listed()).some(pull => (pull.progress?.bytes ?? 0) > 0), what);
const ended = (what: string): Promise<void> => waitUntil(daemon, async () => (await underWay()) === 0, what);

test('Ctrl-C ends a pull in the daemon, and the same command continues it', async () => {
  const { reference, release } = await pushSlow();
  await using child = await command('pull', reference);
  await downloading('a pull of a command');
  const [status, ...others] = await pulls();
  assert.deepEqual(others, []);
  assert.equal(status?.progress.phase, 'download');
  assert.equal(status?.progress.totalBytes, 8 * MiB);
  assert.ok(status.progress.bytesPerSecond > 0 && status.progress.bytesPerSecond < MiB);
  assert.deepEqual(
    status.wanters.map(({ kind, reference: name }) => [kind, name]),
    [['command', reference]],
  );
  const { output } = await outputOf('status');
  assert.match(
    output,
    /\nREFERENCE +PHASE +PULLED +RATE +AGE +FOR\n\S+ +download +.* of 8\.0 MiB +.*\/s +\d+s +pull\n$/,
  );
  assert.equal(await child.end('SIGINT'), 130, child.output());
  await ended('the pull of a command that was interrupted');
  release();
  const again = await outputOf('pull', reference);
  assert.equal(again.code, 0, again.output);
  const ranges = registry.asked.filter(({ headers }) => headers.range !== undefined);
  assert.equal(ranges.length, 1, 'what was downloaded is not asked for again');
});

test('Ctrl-C of a mount ends its pull, and leaves no directory', async () => {
  const { reference } = await pushSlow();
  const target = join(node.path, 'shown');
  await using child = await command('mount', reference, target);
  await downloading('a pull of a mount');
  assert.equal(await child.end('SIGINT'), 130, child.output());
  await ended('the pull of a mount that was interrupted');
  assert.ok(!existsSync(target));
});

test('the pull of a killed command ends', async () => {
  const { reference } = await pushSlow();
  await using child = await command('pull', reference);
  await downloading('a pull of a command');
  await child.end('SIGKILL');
  await ended('the pull of a command that was killed');
});

test('a pull continues after Ctrl-C for a pod that also wants it', async () => {
  const { reference, shown, release } = await pushSlow();
  const request = await publishRequest(node, { reference });
  const first = await outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 1_000 }));
  assert.equal(first.code, 'ABORTED', first.text);
  await using child = await command('pull', reference);
  await waitUntil(
    daemon,
    async () => (await listed()).some(({ wanters }) => wanters.length === 2),
    'a pull for a pod and a command',
  );
  assert.equal(await child.end('SIGINT'), 130, child.output());
  await waitUntil(
    daemon,
    async () => (await listed()).every(({ wanters }) => wanters.length === 1),
    'a pull for a pod',
  );
  assert.equal(await underWay(), 1);
  assert.match((await outputOf('status')).output, / default\/pod\n$/);
  // It is still what the first call began, at its own pace.
  release();
  const cancelled = await outputOf('pull', '--cancel', reference);
  assert.deepEqual([cancelled.code, cancelled.output], [0, `cancelled 1 pull of ${reference}\n`]);
  assert.equal(await underWay(), 0);
  await daemon.csi.NodePublishVolume(request);
  verifyVolume(request.target_path, shown);
  await daemon.csi.NodeUnpublishVolume(request);
});

test('a pull ends when its pod is gone, and otherwise continues between calls', async () => {
  const { reference } = await pushSlow();
  const request = await publishRequest(node, { reference });
  const { code } = await outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 1_000 }));
  assert.equal(code, 'ABORTED');
  const [status] = await pulls();
  assert.partialDeepStrictEqual(status?.wanters, [
    { kind: 'pod', targetPath: request.target_path, pod: { namespace: 'default', name: 'pod' } },
  ]);
  const directory = dirname(dirname(dirname(dirname(request.target_path))));
  assert.equal(dirname(directory), join(node.kubeletDir, 'pods'));
  await rm(directory, { recursive: true });
  await ended('the pull of a pod that is gone');
});

test('garbage collection keeps the content of a pull between calls, and the pull records its name at its end', async () => {
  const { reference, shown } = await pushSlow(4, [{ name: 'notes', bytes: Buffer.from('here soon') }]);
  const request = await publishRequest(node, { reference });
  const { code } = await outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 1_000 }));
  assert.equal(code, 'ABORTED');
  assert.equal(await underWay(), 1);
  await daemon.artifacts.Prune({});
  await ended('the pull');
  const { artifacts } = await daemon.artifacts.List({});
  assert.ok(artifacts.some(artifact => artifact.reference === reference));
  const before = registry.asked.length;
  await daemon.csi.NodePublishVolume(request);
  assert.equal(registry.asked.length, before, 'all of it is here');
  verifyVolume(request.target_path, shown);
  await daemon.csi.NodeUnpublishVolume(request);
});

test('pull --cancel ends a pull, and each waiting caller gets an error', async () => {
  const { reference } = await pushSlow();
  const request = await publishRequest(node, { reference });
  const publish = outcomeOf(daemon.csi.NodePublishVolume(request));
  await using child = await command('pull', reference);
  await waitUntil(
    daemon,
    async () =>
      (await listed()).some(({ wanters, progress }) => wanters.length === 2 && Number(progress?.bytes) > 0),
    'a pull for a pod and a command, with bytes',
  );
  const answer = await daemon.artifacts.CancelPull({ reference });
  assert.equal(answer.pulls, 1);
  const { code, text } = await publish;
  assert.equal(code, 'CANCELLED');
  assert.match(text, /the pull of \S+\/pulls-\d+:v1 was cancelled on this node; what was downloaded is kept/);
  await waitUntil(daemon, () => !child.alive(), 'the command to end');
  assert.match(child.output(), /the pull of \S+ was cancelled on this node/);
  const none = await outputOf('pull', '--cancel', reference);
  assert.equal(none.code, 3);
  assert.match(none.output, /no pull of \S+ is under way; `status` lists those that are/);
});

for (const { how, fault, waits } of [
  { how: 'answers 500', fault: { kind: 'status', status: 500 }, waits: /^retrying in .* answered 500/ },
  {
    how: 'asks to wait',
    fault: { kind: 'status', status: 429, retryAfter: '600' },
    waits: /^127\.0\.0\.1:\d+ asks to wait until /,
  },
  { how: 'does not answer', fault: { kind: 'stall', after: 0 }, waits: /^$/ },
] satisfies readonly { readonly how: string; readonly fault: Fault; readonly waits: RegExp }[]) {
  test(`a pull whose registry ${how} is listed and counted before it has a manifest, and can be cancelled`, async () => {
    const name = `no-manifest-${++pushed}`;
    const reference = `${registry.host}/${name}:v1`;
    registry.fault(({ path }) => (path.includes(`/${name}/`) ? fault : undefined));
    // A credential of its own, because a host that asks to wait is not asked for others meanwhile.
    const request = await publishRequest(node, { reference }, { username: name, password: name });
    const publish = outcomeOf(daemon.csi.NodePublishVolume(request));
    await waitUntil(
      daemon,
      async () => (await listed()).some(({ progress }) => waits.test(progress?.waits ?? '-')),
      'a pull that waits',
    );
    const [status, ...others] = await pulls();
    assert.deepEqual(others, []);
    assert.equal(status?.progress.phase, 'resolve');
    assert.match(status.progress.waits ?? '', waits);
    assert.deepEqual(
      status.wanters.map(({ kind, reference: text, digest }) => [kind, text, digest]),
      [['pod', reference, undefined]],
    );
    const metrics = await (await fetch(`${daemon.http}/metrics`)).text();
    assert.match(metrics, /^oci_artifact_csi_pulls_in_flight 1$/m);
    const { output } = await outputOf('pull', '--cancel', reference);
    assert.equal(output, `cancelled 1 pull of ${reference}\n`);
    const { code, text } = await publish;
    assert.equal(code, 'CANCELLED');
    assert.match(text, /the pull of \S+ was cancelled on this node$/);
    assert.equal(await underWay(), 0);
  });
}

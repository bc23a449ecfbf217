import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishRequest } from '../support/node/daemon.ts';
import { openSetting } from '../support/node/setting.ts';

/** What pods and users see while a registry asks for a wait. */

const { registry, node, daemon } = await openSetting({ flags: { '--max-parallel-downloads': '1' } });

const publish = async (reference: string, secrets = {}, deadlineMs = 2000): Promise<string> => {
  const request = await publishRequest(node, { reference, pullPolicy: 'IfNotPresent' }, secrets);
  return await daemon.csi.NodePublishVolume(request, { deadline: Date.now() + deadlineMs }).then(
    () => 'OK',
    (thrown: unknown) => String(thrown),
  );
};
const someone = { username: 'a', password: 'b' };
const push = async (name: string) => {
  const bytes = Buffer.alloc(100_000, name);
  const pushed = await registry.push(name, 'v1', [{ name: 'model', bytes }]);
  return { ...pushed, digest: pushed.layers[0]?.digest ?? assert.fail() };
};
const asksToWait = String.raw`127\.0\.0\.1:\d+ asks to wait until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`;
const hasNotBegun = new RegExp(
  `ABORTED: the pull of \\S+ has not begun: ${asksToWait}; the next call asks again`,
);
const isPulled = new RegExp(`ABORTED: \\S+ is still being pulled: ${asksToWait}`);

test('a pull waits before its tag is resolved, reports until when, and sends no requests meanwhile', async () => {
  const { reference } = await push('tag');
  registry.fault(() => ({ kind: 'status', status: 429, retryAfter: '6' }));
  assert.match(await publish(reference), hasNotBegun);
  const asked = registry.asked.length;
  assert.match(await publish(reference), hasNotBegun);
  assert.equal(registry.asked.length, asked);
  const { failing } = await daemon.artifacts.GetStatus({});
  assert.ok(failing.some(volume => volume.reference === reference));
  registry.fault(() => undefined);
  assert.equal(await publish(reference, {}, 30_000), 'OK');
});

test('a waiting layer reports the progress of the pull, and frees its slot', async () => {
  const limited = await push('limited');
  const other = await push('other');
  registry.fault(({ path }) =>
    path.endsWith(limited.digest) ? { kind: 'status', status: 429, retryAfter: '600' } : undefined,
  );
  const first = await publish(limited.reference);
  assert.match(first, isPulled);
  assert.match(first, /Z; pulled 0 B of 97\.7 KiB, 0 of 1 layers; it goes on, and the next call joins it/);
  assert.equal(await publish(other.reference, someone, 30_000), 'OK');
  registry.fault(() => undefined);
});

test('a wait above the limit is an error at once, which says how long it is', async () => {
  const { reference } = await push('longer');
  registry.fault(({ path }) =>
    path.includes('/longer/') ? { kind: 'status', status: 429, retryAfter: '3600' } : undefined,
  );
  const credential = { username: 'c', password: 'd' };
  assert.match(
    await publish(reference, credential, 30_000),
    /UNAVAILABLE: .*asks to wait until \S+Z \(1 h\); it is asked again at \S+Z, by --retry-after-max/,
  );
  const other = await push('beside-longer');
  assert.match(
    await publish(other.reference, credential, 30_000),
    /UNAVAILABLE: .*is not asked before \S+Z, because of its answer to another request of this node: .* answered 429/,
  );
  const { problems } = await daemon.artifacts.GetStatus({});
  assert.ok(
    problems.some(text => /is not asked before \S+Z, because of its answer to \S+\/longer:v1: /.test(text)),
    problems.join('\n'),
  );
});

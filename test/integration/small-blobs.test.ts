import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publishRequest } from '../support/node/daemon.ts';
import { openSetting } from '../support/node/setting.ts';
import type { Fault } from '../support/registry/fault.ts';

/** Artifacts of many small blobs, which are fetched together as far as the registry simply sends them. */

const { registry, node, daemon } = await openSetting();

const push = async (repository: string, count = 60) => {
  const files = Array.from({ length: count }, (_, at) => {
    const name = `part-${at % 7}/line-${at}`;
    return { name, bytes: Buffer.from(`line ${at} of ${repository}\n`.repeat(1 + (at % 50))) };
  });
  return { ...(await registry.push(repository, 'v1', files)), files };
};
const publish = async (reference: string, secrets = {}): Promise<string> => {
  const request = await publishRequest(node, { reference }, secrets);
  await daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 30_000 });
  return request.target_path;
};

type Pushed = Awaited<ReturnType<typeof push>>;
function verify(target: string, { files }: Pushed): void {
  const found = readdirSync(target, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  assert.equal(found.length, files.length);
  for (const { name, bytes } of files) assert.deepEqual(readFileSync(join(target, name)), bytes, name);
}

/** Answers the first two requests for each of the blobs with a fault. */
function spoil(blobs: Pushed['layers'], fault: Fault): void {
  registry.fault(({ path, nth }) =>
    nth <= 2 && blobs.some(({ digest }) => path.endsWith(digest)) ? fault : undefined,
  );
}

test('each of many small blobs is asked for once', async () => {
  const pushed = await push('plain');
  verify(await publish(pushed.reference), pushed);
  for (const { digest } of pushed.layers) assert.equal(registry.count('GET', digest), 1);
});

const faults: Readonly<Record<string, Fault>> = {
  'an error that passes': { kind: 'status', status: 503 },
  'a wait of the registry': { kind: 'status', status: 429, retryAfter: '1' },
  'the end of a connection': { kind: 'cut', after: 2 },
  'an answer without a length': { kind: 'chunked' },
};
for (const [what, fault] of Object.entries(faults)) {
  test(`${what} among many small blobs costs a few requests, and the volume is right`, async () => {
    const pushed = await push(what.replaceAll(' ', '-'));
    spoil(pushed.layers.slice(20, 23), fault);
    verify(await publish(pushed.reference), pushed);
    const asked = pushed.layers.reduce((sum, { digest }) => sum + registry.count('GET', digest), 0);
    // Requests that are under way when one fails may come to nothing.
    assert.ok(asked < pushed.layers.length + 40, `${asked} requests`);
  });
}

test('many small blobs that the registry keeps elsewhere are fetched from there', async () => {
  const pushed = await push('elsewhere');
  registry.fault(({ path }) =>
    path.includes('/blobs/') && !path.includes('?')
      ? { kind: 'redirect', to: `http://${registry.host}${path}?signed` }
      : undefined,
  );
  verify(await publish(pushed.reference), pushed);
});

test('one of many small blobs that is not there fails the pull with its name', async () => {
  const pushed = await push('missing');
  const [layer] = pushed.layers.slice(30, 31);
  registry.fault(({ path }) =>
    layer !== undefined && path.endsWith(layer.digest) ? { kind: 'status', status: 404 } : undefined,
  );
  await assert.rejects(publish(pushed.reference), new RegExp(`NOT_FOUND.*${layer?.digest.slice(7, 19)}`));
  registry.fault(() => undefined);
  verify(await publish(pushed.reference), pushed);
});

test('pods with other credentials prove their access to small blobs that another one brought', async () => {
  const pushed = await push('shared');
  const secrets = [{}, { username: 'a', password: 'b' }, { username: 'c', password: 'd' }];
  const targets = await Promise.all(secrets.map(secret => publish(pushed.reference, secret)));
  for (const target of targets) verify(target, pushed);
});

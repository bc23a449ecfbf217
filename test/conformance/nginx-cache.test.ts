import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { toUpstream } from '../../src/registry/config/route.ts';
import { runCommandHere } from '../support/node/command.ts';
import { testNode } from '../support/node/daemon.ts';
import { verifyBlobs } from '../support/node/volume.ts';
import { ownAddress } from '../support/os/port.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { nginxPort, startNginxCache } from '../support/registry/nginx.ts';
import { oras } from '../support/registry/oras.ts';
import { startReferrersRegistry } from '../support/registry/referrers-registry.ts';
import { anonymous, openMemorySink, openTestClient } from '../support/registry/registry-client.ts';

/** nginx as a cache, with the configuration of the examples. */

const MiB = 2 ** 20;
const sliceBytes = 8 * MiB;
const never = new AbortController().signal;

/** On a loopback address of its own. */
async function openCache(registry: string) {
  const address = ownAddress();
  const child = await startNginxCache({ address, enter: [] }, registry);
  return { ...child, host: `${address}:${nginxPort}` };
}

/** A client that asks the cache first, and then `last`. */
function openClient(cache: string, home: string, path: string, last = home) {
  const upstream = (host: string) => toUpstream({ host, path, insecure: true });
  const mirrors = [{ ...upstream(cache), mirrorOf: home }];
  return openTestClient({ route: () => ({ mirrors, last: upstream(last) }) });
}

test(
  'a range of a blob that nginx lacks costs the registry the slices of that range, once',
  needs('root', 'nginx'),
  async () => {
    await using origin = await openFaultyRegistry();
    const bytes = randomBytes(2.5 * sliceBytes);
    const {
      layers: [layer],
    } = await origin.push('models/cached', 'v1', [{ name: 'model', bytes }]);
    assert.ok(layer !== undefined);
    await using cache = await openCache(origin.host);
    // The registry itself cannot be reached.
    await using client = openClient(cache.host, origin.host, 'models/cached', '127.0.0.1:1');
    for (const already of [sliceBytes + MiB, 2 * sliceBytes]) {
      const sink = openMemorySink(bytes.subarray(0, already));
      await client.blob({ registry: origin.host, path: 'models/cached' }, layer, sink, anonymous, never);
      assert.deepEqual([sink.digest(), sink.restarts], [layer.digest, 0]);
      assert.equal(origin.sent(''), 1.5 * sliceBytes);
    }
  },
);

test('referrers come through nginx, and are never stale', needs('root', 'nginx', 'oras'), async () => {
  await using directory = await temporaryDirectory();
  await using origin = await startReferrersRegistry();
  await using cache = await openCache(origin.host);
  const reference = `${origin.host}/models/signed:v1`;
  const type = 'application/vnd.example.signature';
  await writeFile(`${directory.path}/model`, randomBytes(1000));
  await oras(['push', '--plain-http', reference, 'model'], directory.path);
  await using client = openClient(cache.host, origin.host, 'models/signed');
  const name = { registry: origin.host, path: 'models/signed' };
  const { descriptor } = await client.resolve({ ...name, tag: 'v1' }, anonymous, never);
  for (const count of [1, 2]) {
    await writeFile(`${directory.path}/signature`, `signature ${count}`);
    await oras(['attach', '--plain-http', '--artifact-type', type, reference, 'signature'], directory.path);
    const answer = await fetch(`http://${cache.host}/v2/models/signed/referrers/${descriptor.digest}`);
    const { manifests } = (await answer.json()) as { readonly manifests: readonly unknown[] };
    const found = await client.referrers(name, descriptor.digest, type, anonymous, never);
    assert.deepEqual([manifests.length, found?.length], [count, count]);
  }
});

test(
  'a redirect of the registry to a store passes through nginx, and the node follows it',
  needs('root', 'nginx'),
  async () => {
    await using origin = await openFaultyRegistry();
    await using store = await openFaultyRegistry();
    const layers = [{ name: 'model', bytes: randomBytes(MiB) }];
    await origin.push('models/cached', 'v1', layers);
    await store.push('models/cached', 'v1', layers);
    origin.fault(({ path }) =>
      path.includes('/blobs/') ? { kind: 'redirect', to: `http://${store.host}${path}` } : undefined,
    );
    await using cache = await openCache(origin.host);
    await using node = await testNode([origin.host, store.host]);
    const conf = [
      `[[registry]]\nlocation = "${origin.host}"\ninsecure = true`,
      `[[registry.mirror]]\nlocation = "${cache.host}"\ninsecure = true`,
      `[[registry]]\nlocation = "${store.host}"\ninsecure = true\n`,
    ];
    await writeFile(node.registriesConf, conf.join('\n'));
    const { code, stderr } = await runCommandHere(node, ['pull', `${origin.host}/models/cached:v1`]);
    assert.equal(code, 0, stderr);
    verifyBlobs(node.stateDir);
    assert.equal(store.sent(''), MiB);
    const [blob] = store.asked.map(({ path }) => path);
    const { status } = await fetch(`http://${cache.host}${blob}`, { redirect: 'manual' });
    assert.equal(status, 307);
  },
);

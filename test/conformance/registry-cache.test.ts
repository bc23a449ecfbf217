import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { toUpstream } from '../../src/registry/config/route.ts';
import { type CommandRun, runCommandHere } from '../support/node/command.ts';
import { testNode } from '../support/node/daemon.ts';
import { verifyBlobs } from '../support/node/volume.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { startReferrersRegistry } from '../support/registry/referrers-registry.ts';
import { anonymous, openMemorySink, openTestClient } from '../support/registry/registry-client.ts';

/** A CNCF distribution registry as a cache of another one, which counts what it sends. */

const layerBytes = 2 * 1024 * 1024;
const never = new AbortController().signal;

async function pushModel(origin: FaultyRegistry) {
  const layers = [0, 1].map(number => ({ name: `part-${number}`, bytes: randomBytes(layerBytes) }));
  return await origin.push('models/cached', 'v1', layers);
}

/** Pulls on a node of its own, by the cache first, and verifies what is in its state directory. */
async function pullOnNode(origin: string, cache: string): Promise<CommandRun> {
  await using node = await testNode([origin]);
  const conf = `[[registry]]\nlocation = "${origin}"\ninsecure = true\n[[registry.mirror]]\nlocation = "${cache}"\ninsecure = true\n`;
  await writeFile(node.registriesConf, conf);
  const run = await runCommandHere(node, ['pull', `${origin}/models/cached:v1`]);
  verifyBlobs(node.stateDir);
  return run;
}

const cacheOf = (host: string) => startRealRegistry(undefined, undefined, undefined, `http://${host}`);

test(
  'four nodes at once get right bytes from a cache, and a later one costs the registry none',
  needs('root', 'registry'),
  async () => {
    await using origin = await openFaultyRegistry();
    await pushModel(origin);
    await using cache = await cacheOf(origin.host);
    const pulls = await Promise.all([1, 2, 3, 4].map(() => pullOnNode(origin.host, cache.host)));
    assert.deepEqual(
      pulls.map(({ code, stderr }) => (code === 0 ? 0 : stderr)),
      [0, 0, 0, 0],
    );
    const copies = () => origin.sent('') / (2 * layerBytes);
    const cold = copies();
    assert.ok(cold >= 1 && cold < 5.1, `${cold} copies`);
    assert.equal((await pullOnNode(origin.host, cache.host)).code, 0);
    assert.ok(copies() - cold < 0.01, `${copies() - cold} copies more`);
  },
);

test(
  'a cache that is killed in mid-pull leaves the rest to the registry',
  needs('root', 'registry'),
  async () => {
    await using origin = await openFaultyRegistry();
    await pushModel(origin);
    await using cache = await cacheOf(origin.host);
    origin.fault(({ path }) =>
      path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond: layerBytes / 2 } : undefined,
    );
    const pulling = pullOnNode(origin.host, cache.host);
    while (origin.sent('') < layerBytes / 2) await sleep(20);
    process.kill(cache.pid, 'SIGKILL');
    const { code, stderr } = await pulling;
    assert.equal(code, 0, stderr);
    assert.ok(origin.sent('') < 1.6 * 2 * layerBytes, `${origin.sent('')} bytes`);
  },
);

test(
  'a cache that answers a range with the whole blob still continues a download',
  needs('root', 'registry'),
  async () => {
    await using origin = await openFaultyRegistry();
    const {
      layers: [layer],
    } = await pushModel(origin);
    assert.ok(layer !== undefined);
    await using cache = await cacheOf(origin.host);
    const bytes = Buffer.from(
      await (await fetch(`http://${origin.host}/v2/models/cached/blobs/${layer.digest}`)).arrayBuffer(),
    );
    const upstream = (host: string) => toUpstream({ host, path: 'models/cached', insecure: true });
    const mirrors = [{ ...upstream(cache.host), mirrorOf: origin.host }];
    await using client = openTestClient({ route: () => ({ mirrors, last: upstream('127.0.0.1:1') }) });
    const sink = openMemorySink(bytes.subarray(0, layerBytes / 2));
    await client.blob({ registry: origin.host, path: 'models/cached' }, layer, sink, anonymous, never);
    assert.deepEqual([sink.digest(), sink.restarts], [layer.digest, 0]);
  },
);

test(
  'referrers that a cache does not pass on are found at the registry',
  needs('root', 'registry', 'oras'),
  async () => {
    await using directory = await temporaryDirectory();
    await using origin = await startReferrersRegistry();
    await using cache = await cacheOf(origin.host);
    const reference = `${origin.host}/models/signed:v1`;
    await writeFile(`${directory.path}/model`, randomBytes(1000));
    await writeFile(`${directory.path}/signature`, 'signature');
    await oras(['push', '--plain-http', reference, 'model'], directory.path);
    await oras(
      [
        'attach',
        '--plain-http',
        '--artifact-type',
        'application/vnd.example.signature',
        reference,
        'signature',
      ],
      directory.path,
    );
    const upstream = (host: string) => toUpstream({ host, path: 'models/signed', insecure: true });
    const mirrors = [{ ...upstream(cache.host), mirrorOf: origin.host }];
    await using client = openTestClient({ route: () => ({ mirrors, last: upstream(origin.host) }) });
    const name = { registry: origin.host, path: 'models/signed' };
    const { descriptor, servedBy } = await client.resolve({ ...name, tag: 'v1' }, anonymous, never);
    assert.equal(servedBy.mirrorOf, origin.host);
    const { status } = await fetch(`http://${cache.host}/v2/models/signed/referrers/${descriptor.digest}`);
    assert.equal(status, 404);
    const found = await client.referrers(
      name,
      descriptor.digest,
      'application/vnd.example.signature',
      anonymous,
      never,
    );
    assert.equal(found?.length, 1);
  },
);

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { type Outcome, outcomeOf } from '../support/node/outcome.ts';
import { endOfTar, rawEntry } from '../support/oci/raw-tar.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** What one namespace asks for does not hold up another. */

const opened = new AsyncDisposableStack();
after(() => opened.disposeAsync());
const registries = await Promise.all(Array.from({ length: 19 }, () => openFaultyRegistry()));
for (const registry of registries) opened.use(registry);
const [good, ...evil] = registries;
assert.ok(good !== undefined && evil[0] !== undefined);
const node = opened.use(await testNode(registries.map(({ host }) => host)));
const daemon = opened.use(await startDaemon(node, { flags: { '--log-level': 'error' } }));

async function publish(reference: string, namespace: string): Promise<Outcome> {
  const attributes = { reference, 'csi.storage.k8s.io/pod.namespace': namespace };
  const request = await publishRequest(node, attributes);
  return outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 60_000 }));
}

/** The same, of many that need not end. How many have is in `count`. */
function publishAll(references: readonly string[], namespace: string): { readonly count: () => number } {
  let ended = 0;
  for (const reference of references)
    void publish(reference, namespace).then(
      () => ended++,
      () => {}, // the daemon goes first
    );
  return { count: () => ended };
}

for (const [size, layers] of [
  [100_000, 8],
  [10_000, 60],
] as const) {
  test(`18 stalled registries of one namespace, each in ${layers} layers, do not block downloads of another`, async () => {
    const references: string[] = [];
    for (const registry of evil) {
      const contents = Array.from({ length: layers }, (_, nth) => ({
        name: `${nth}`,
        bytes: randomBytes(size),
      }));
      const { reference } = await registry.push('stalling', `${size}`, contents);
      registry.fault(({ method, path }) =>
        method === 'GET' && path.includes('/blobs/') ? { kind: 'stall', after: 1 } : undefined,
      );
      references.push(reference);
    }
    publishAll(references, 'evil');
    await sleep(2_000);
    const contents = [100, 1_000_000].map(bytes => ({ name: `${bytes}`, bytes: randomBytes(bytes) }));
    const { code, text, ms } = await publish(
      (await good.push('model', `${size}`, contents)).reference,
      'good',
    );
    assert.equal(code, 'OK', text);
    assert.ok(ms < 10_000, `${ms} ms`); // a stall lasts 30 s
  });
}

test('slow layers of one namespace do not block the unpacking of another', async () => {
  const [first] = evil;
  assert.ok(first !== undefined);
  first.reset();
  const directories = Buffer.concat(
    Array.from({ length: 300_000 }, (_, nth) => rawEntry({ name: `d${nth}/`, type: '5' })),
  );
  const references: string[] = [];
  const mediaType = 'application/x.tar+gzip';
  for (let nth = 0; nth < 4; nth++) {
    const tar = Buffer.concat([rawEntry({ name: `${nth}` }), directories, endOfTar]);
    const { reference } = await first.push('large', `${nth}`, [
      { bytes: gzipSync(tar, { level: 1 }), mediaType },
    ]);
    references.push(reference);
  }
  const small = gzipSync(Buffer.concat([rawEntry({ name: 'small', body: 'x' }), endOfTar]));
  const { reference } = await good.push('small', '1', [{ bytes: small, mediaType }]);
  const large = publishAll(references, 'evil');
  await sleep(1_000);
  const { code, text } = await publish(reference, 'good');
  assert.equal(code, 'OK', text);
  assert.equal(large.count(), 0, 'it waited for one of the large ones');
});

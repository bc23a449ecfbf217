import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** What --download-rate and --mirror-rate bound on a node with a registry and a mirror of another. */

const mib = 1024 * 1024;
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const home = stack.use(await openFaultyRegistry());
const mirror = stack.use(await openFaultyRegistry());
const node = stack.use(await testNode([home.host]));
const hostsDir = join(node.path, 'hosts');
await mkdir(join(hostsDir, 'models.test'), { recursive: true });
await writeFile(
  join(hostsDir, 'models.test/hosts.toml'),
  `server = "http://${home.host}"\n[host."http://${mirror.host}"]\n`,
);

type Pushed = Pick<Awaited<ReturnType<FaultyRegistry['push']>>, 'reference' | 'layers'>;

/** Layers of all ways by which bytes come: many small ones, and large ones. */
const layers = (count: number) => [
  ...Array.from({ length: 32 }, (_, nth) => ({ name: `s${nth}`, bytes: randomBytes(32 * 1024) })),
  ...Array.from({ length: count }, (_, nth) => ({ name: `l${nth}`, bytes: randomBytes(3 * mib) })),
];

/** Publishes at once. Answers the bytes that were sent, and how long it took. */
async function publishAll(
  from: FaultyRegistry,
  pushed: readonly Pushed[],
  flags: Readonly<Record<string, string>>,
): Promise<{ readonly bytes: number; readonly seconds: number }> {
  await using daemon = await startDaemon(node, { flags: { '--hosts-dir': hostsDir, ...flags } });
  const paths = pushed.flatMap(({ layers }) => layers.map(({ digest }) => `/blobs/${digest}`));
  const query = from === mirror ? '?ns=models.test' : '';
  const sent = (): number => paths.reduce((sum, path) => sum + from.sent(path + query), 0);
  const before = sent();
  const requests = await Promise.all(pushed.map(({ reference }) => publishRequest(node, { reference })));
  const began = performance.now();
  await Promise.all(requests.map(request => daemon.csi.NodePublishVolume(request)));
  const seconds = (performance.now() - began) / 1000;
  for (const request of requests) await daemon.csi.NodeUnpublishVolume(request);
  await daemon.artifacts.Prune({});
  return { bytes: sent() - before, seconds };
}

test('--download-rate bounds all downloads of pods together', async t => {
  const pushed = await Promise.all(['a', 'b'].map(name => home.push(name, 'v1', layers(2))));
  const { bytes, seconds } = await publishAll(home, pushed, { '--download-rate': '4MiB/s' });
  t.diagnostic(`${bytes} bytes in ${seconds} s`);
  assert.ok(bytes >= 14 * mib && seconds > (0.8 * bytes) / (4 * mib), `${bytes} bytes in ${seconds} s`);
});

test('what a mirror sends counts in --download-rate, or in --mirror-rate alone', async t => {
  const pushed = { ...(await mirror.push('c', 'v1', layers(3))), reference: 'models.test/c:v1' };
  const publish = (flags: Readonly<Record<string, string>>) => publishAll(mirror, [pushed], flags);
  const slow = await publish({ '--download-rate': '4MiB/s' });
  assert.ok(slow.bytes >= 10 * mib && slow.seconds > (0.8 * slow.bytes) / (4 * mib), JSON.stringify(slow));
  const own = await publish({ '--download-rate': '1GiB/s', '--mirror-rate': '4MiB/s' });
  assert.ok(own.seconds > (0.8 * own.bytes) / (4 * mib), JSON.stringify(own));
  const apart = await publish({ '--download-rate': '64KiB/s', '--mirror-rate': '1GiB/s' });
  t.diagnostic(JSON.stringify({ slow, own, apart }));
  // At the rate of the registry it would take minutes.
  assert.ok(apart.seconds < 60, JSON.stringify(apart));
});

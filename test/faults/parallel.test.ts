import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** A registry whose layers never end, with two artifacts of layers of these sizes. */
async function openEndless(sizes: readonly number[]) {
  const registry = await openFaultyRegistry();
  const references = [];
  const layers: string[] = [];
  for (const name of ['one', 'two']) {
    const files = sizes.map((size, nth) => ({ name: `file-${nth}`, bytes: randomBytes(size) }));
    const pushed = await registry.push(name, 'v1', files);
    references.push(pushed.reference);
    layers.push(...pushed.layers.map(({ digest }) => digest));
  }
  const isLayer = (path: string): boolean => layers.some(digest => path.endsWith(digest));
  registry.fault(({ path }) => (isLayer(path) ? { kind: 'stall', after: 1000 } : undefined));
  const begun = (): number =>
    registry.asked.filter(({ method, path }) => method === 'GET' && isLayer(path)).length;
  return { registry, references, begun, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
}

test('concurrent layer downloads are limited per registry over all pulls', needs('root'), async () => {
  const sizes = [300_000, 300_000, 300_000];
  await using first = await openEndless(sizes);
  await using second = await openEndless(sizes);
  await using node = await testNode([first.registry.host, second.registry.host]);
  await using daemon = await startDaemon(node, { flags: { '--max-parallel-downloads': '2' } });
  const calls = [];
  for (const reference of [...first.references, ...second.references])
    calls.push(outcomeOf(daemon.csi.NodePublishVolume(await publishRequest(node, { reference }))));
  await waitUntil(daemon, () => first.begun() >= 2 && second.begun() >= 2, 'downloading');
  await sleep(300); // time for one too many
  assert.deepEqual([first.begun(), second.begun()], [2, 2]);
  await daemon.end('SIGKILL');
  await Promise.all(calls);
});

test('four times as many small layers are downloaded beside the others', needs('root'), async () => {
  await using endless = await openEndless([...Array.from({ length: 12 }, () => 64 * 1024), 64 * 1024 + 1]);
  await using node = await testNode([endless.registry.host]);
  await using daemon = await startDaemon(node, { flags: { '--max-parallel-downloads': '1' } });
  const calls = [];
  for (const reference of endless.references)
    calls.push(outcomeOf(daemon.csi.NodePublishVolume(await publishRequest(node, { reference }))));
  await waitUntil(daemon, () => endless.begun() >= 5, 'downloading');
  await sleep(300);
  assert.equal(endless.begun(), 5);
  await daemon.end('SIGKILL');
  await Promise.all(calls);
});

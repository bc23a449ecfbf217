import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../support/child.ts';
import { publishRequest, startDaemon, testNode } from '../support/daemon.ts';
import { openFaultyRegistry } from '../support/faulty-registry.ts';
import { outcomeOf } from '../support/outcome.ts';
import { needs } from '../support/tools.ts';

/** A registry whose layers never end, with two artifacts of three. */
async function openEndless() {
  const registry = await openFaultyRegistry();
  const references = [];
  const layers: string[] = [];
  for (const name of ['one', 'two']) {
    const files = ['a', 'b', 'c'].map(file => ({ name: file, bytes: randomBytes(300_000) }));
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

test(
  'so many layers come at once from one registry, of all pulls, and as many from another',
  needs('root'),
  async () => {
    await using first = await openEndless();
    await using second = await openEndless();
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
  },
);

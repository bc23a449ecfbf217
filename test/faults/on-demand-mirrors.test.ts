import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { listed } from '../support/late/chunk-list.ts';
import {
  compareFile,
  conditionOf,
  isLoaded,
  loadingOf,
  publishLate,
  until,
  watchFile,
} from '../support/late/loading.ts';
import { startDaemon, testNode } from '../support/node/daemon.ts';
import { sha256 } from '../support/oci/tar.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const MiB = 1024 * 1024;
const mirror = await openFaultyRegistry();
const home = await openFaultyRegistry();
after(async () => {
  for (const registry of [mirror, home]) await registry[Symbol.asyncDispose]();
});
let pushed = 0;

/** A node that asks a mirror first, and a file that both have, with a chunk list or without. */
async function open(isListed: boolean) {
  await using stack = new AsyncDisposableStack();
  const node = stack.use(await testNode());
  const hosts = join(node.path, 'hosts');
  mkdirSync(join(hosts, 'models.test'), { recursive: true });
  writeFileSync(
    join(hosts, 'models.test', 'hosts.toml'),
    `server = "http://${home.host}"\n[host."http://${mirror.host}"]\ncapabilities = ["pull"]\n`,
  );
  const bytes = randomBytes(6 * MiB + 123);
  const [layer, list] = listed('model', bytes);
  const repository = `team/model-${pushed++}`;
  for (const registry of [mirror, home]) {
    registry.reset();
    await registry.push(repository, 'v1', isListed ? [layer, list] : [{ name: 'model', bytes }]);
  }
  const copy = join(node.path, 'copy');
  writeFileSync(copy, bytes);
  const flags = { '--hosts-dir': hosts, '--on-demand-patience': '5s' };
  const daemon = stack.use(await startDaemon(node, { flags }));
  const own = stack.move();
  return {
    daemon,
    copy,
    reference: `models.test/${repository}:v1`,
    layer: sha256(bytes),
    list: sha256(list.bytes),
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}

/** Wrong bytes for all of a blob but the one that shows whether it can be had in ranges. */
const lie =
  (digest: string): Parameters<typeof mirror.fault>[0] =>
  ({ path, headers }) =>
    path.includes(digest) && headers.range !== 'bytes=0-0' ? { kind: 'wrong-bytes' } : undefined;

const asked = (registry: typeof mirror, digest: string): number =>
  registry.asked.filter(({ method, path }) => method === 'GET' && path.includes(digest)).length;

for (const [what, isListed] of [
  ['a layer', false],
  ['the chunks of a layer', true],
  ['a chunk list', true],
] as const) {
  const isList = what === 'a chunk list';

  test(`a mirror that lies about ${what} is passed over, and no read fails`, async () => {
    await using world = await open(isListed);
    const { daemon, copy, reference, layer, list } = world;
    const digest = isList ? list : layer;
    mirror.fault(lie(digest));
    const request = await publishLate(daemon, reference);
    const path = join(request.target_path, 'model');
    await using watch = watchFile(path, copy);
    await until('all of it is here', async () => {
      const { abnormal, message } = await conditionOf(daemon, request);
      assert.ok(!abnormal, message);
      return await isLoaded(daemon, request.target_path);
    });
    assert.equal(await compareFile(path, copy), 'right');
    const found = await watch.stop();
    assert.ok(!found.has('wrong') && !found.has('failed'), [...found].join());
    assert.ok(asked(mirror, digest) > 0 && asked(home, digest) > 0);
    assert.doesNotMatch(daemon.output(), /is loaded as a whole/);
  });

  if (isList) continue;
  test(`while all sources lie about ${what}, reads fail and the volume is abnormal, and then all is right`, async () => {
    await using world = await open(isListed);
    const { daemon, copy, reference, layer } = world;
    for (const registry of [mirror, home]) registry.fault(lie(layer));
    const request = await publishLate(daemon, reference);
    const { target_path: target } = request;
    const path = join(target, 'model');
    await using watch = watchFile(path, copy);
    assert.equal(await compareFile(path, copy), 'failed');
    await until('it is abnormal', async () => (await conditionOf(daemon, request)).abnormal);
    assert.match(
      (await conditionOf(daemon, request)).message,
      /cannot be read: .*(?:have|has) (?:digest )?sha256:/,
    );
    assert.ok(asked(home, layer) > 0);
    assert.equal(await isLoaded(daemon, target), false);
    home.fault(() => undefined);
    await until('all of it is here', async () => {
      await compareFile(path, copy, 1_000); // a read has it tried again
      return await isLoaded(daemon, target);
    });
    const { abnormal, message } = await conditionOf(daemon, request);
    assert.ok(!abnormal, message);
    assert.ok(!(await watch.stop()).has('wrong'));
    await until('it is right', async () => (await compareFile(path, copy)) === 'right');
    assert.equal((await loadingOf(daemon, target))?.problem, '');
  });
}

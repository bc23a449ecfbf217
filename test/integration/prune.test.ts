import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Pruned } from '../../src/ports/usecases.ts';
import { runCommand } from '../support/node/command.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { openSetting } from '../support/node/setting.ts';
import { needs } from '../support/project/tools.ts';

const { registry, node, daemon } = await openSetting();

test('a dry run of prune lists what prune then frees, with a daemon and without', needs('root'), async () => {
  const shared = { name: 'shared', bytes: Buffer.alloc(50_000, 1) };
  const bring = async (repository: string, size: number) => {
    const layers = [shared, { name: 'own', bytes: Buffer.alloc(size, repository) }];
    const { reference, digest } = await registry.push(repository, 'v1', layers);
    for await (const _ of daemon.streams.Pull({ reference })) continue;
    return { reference, digest };
  };
  const [one, other] = [await bring('one', 100_000), await bring('other', 200_000)];
  const [pinned, mounted] = [await bring('pinned', 1000), await bring('mounted', 1000)];
  await daemon.artifacts.Pin({ reference: pinned.reference });
  await daemon.csi.NodePublishVolume(await publishRequest(node, { reference: mounted.reference }));
  const before = contentOf(node.stateDir);

  const preview = await daemon.artifacts.Prune({ dry_run: true });
  assert.deepEqual(contentOf(node.stateDir), before);
  assert.equal(preview.freed?.artifacts, 2);
  assert.deepEqual(
    preview.items.map(({ reference, digest }) => ({ reference, digest })),
    [one, other],
  );
  // What the pin and the volume share with them stays.
  const [first = 0, second = 0] = preview.items.map(({ bytes }) => bytes);
  assert.ok(first > 100_000 && first < 150_000 && second > 200_000 && second < 250_000);
  assert.equal(first + second, preview.freed?.bytes);

  await daemon.end('SIGTERM');
  const direct = ['--output', 'json', '--state-dir', node.stateDir];
  const listed = await runCommand(node, ['prune', '--dry-run', ...direct]);
  assert.equal(listed.code, 0, listed.stderr);
  assert.deepEqual(contentOf(node.stateDir), before);
  assert.partialDeepStrictEqual(JSON.parse(listed.stdout) as Pruned, {
    ...preview.freed,
    items: preview.items,
  });
  const pruned = await runCommand(node, ['prune', '--yes', ...direct]);
  assert.deepEqual(JSON.parse(pruned.stdout), JSON.parse(listed.stdout));
  assert.equal(contentOf(node.stateDir).length, before.length - 2 * ownOfEach);
});

/** Of each that goes: a manifest, a layer and a name. */
const ownOfEach = 3;

function contentOf(stateDir: string): readonly string[] {
  return ['blobs/sha256', 'names'].flatMap(directory => readdirSync(join(stateDir, directory)).toSorted());
}

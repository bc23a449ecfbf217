import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ociIndex } from '../../src/oci/manifest.ts';
import { toPlatform } from '../../src/oci/platform.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { needs } from '../support/project/tools.ts';

const { registry, node, daemon } = await openSetting({ flags: { '--cache-max': '3MiB' } });

/** Pushes an artifact by a tag of its own, and an index that lists it. */
async function pushBoth(repository: string) {
  const single = await registry.push(repository, 'single', [{ name: 'f', bytes: Buffer.from(repository) }]);
  const { annotations: _, ...manifest } = single.manifest;
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ ...manifest, platform: toPlatform(process.arch) }],
    }),
  );
  const digest = await registry.registry.putManifest(repository, 'multi', ociIndex, index);
  return { single: single.reference, multi: single.reference.replace(/:single$/, ':multi'), index: digest };
}

async function publish(reference: string, attributes: Readonly<Record<string, string>> = {}) {
  const request = await publishRequest(node, { reference, ...attributes });
  const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
  return { code, text, request };
}

test('the index of a mounted volume survives garbage collection by size', needs('root'), async () => {
  const both = await pushBoth('team/by-size');
  assert.equal((await publish(both.single)).code, 'OK');
  assert.equal((await publish(both.multi)).code, 'OK');
  for (let nth = 0; nth < 3; nth++) {
    const big = await registry.push(`team/big${nth}`, 'v1', [{ name: 'b', bytes: randomBytes(1_800_000) }]);
    const { code, text, request } = await publish(big.reference);
    assert.equal(code, 'OK', text);
    await daemon.csi.NodeUnpublishVolume(request);
  }
  assert.ok(existsSync(join(node.stateDir, 'blobs/sha256', both.index.slice(7))));
});

for (const [first, second, removed] of [
  ['single', 'multi', 'single'],
  ['multi', 'single', 'multi'],
  ['multi', 'single', 'single'],
  ['single', 'multi', 'multi'],
] as const) {
  test(
    `of ${first} and then ${second}, rm of ${removed} leaves the other complete`,
    needs('root'),
    async () => {
      const both = await pushBoth(`team/${first}-${removed}`);
      for (const tag of [first, second])
        for await (const _ of daemon.streams.Pull({ reference: both[tag], pull_policy: 'Always' })) continue;
      await daemon.artifacts.Remove({ reference: both[removed] });
      const left = removed === 'single' ? 'multi' : 'single';
      const { code, text } = await publish(both[left], { pullPolicy: 'Never' });
      assert.equal(code, 'OK', text);
      assert.notEqual((await publish(both[removed], { pullPolicy: 'Never' })).code, 'OK');
    },
  );
}

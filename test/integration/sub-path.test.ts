import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { gzip, sha256, tarOf } from '../support/oci/tar.ts';

/** What becomes of a `subPath` that the artifact does not have, and how much of it is downloaded for that. */

const { registry, node, daemon } = await openSetting();

const large = { name: 'model.bin', bytes: randomBytes(4_000_000) };
const slow = sha256(large.bytes);
registry.fault(({ path }) => (path.endsWith(slow) ? { kind: 'slow', bytesPerSecond: 100_000 } : undefined));

async function refuse(reference: string, subPath: string) {
  const began = performance.now();
  const { code, text } = await outcomeOf(
    daemon.csi.NodePublishVolume(await publishRequest(node, { reference, subPath })),
  );
  assert.equal(code, 'FAILED_PRECONDITION', text);
  assert.ok(performance.now() - began < 10_000, 'the large file takes 40 s');
  return text;
}

const blobs = (): readonly string[] =>
  registry.asked.flatMap(({ path }) => /\/blobs\/(.*)/.exec(path)?.[1] ?? []);

test('among files nothing is downloaded', async () => {
  const { reference } = await registry.push('files', 'v1', [large, { name: 'a/b', bytes: Buffer.from('b') }]);
  const text = await refuse(reference, 'a/c');
  assert.match(text, /has no subPath "a\/c": there is no "c", only "b"$/);
  assert.deepEqual(blobs(), []);
});

test('beside a packed directory nothing is downloaded', async () => {
  const bytes = gzip(await tarOf([[{ name: 'weights/x' }, 'x']]));
  const { reference } = await registry.push('directory', 'v1', [
    large,
    {
      name: 'weights',
      bytes,
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      annotations: { 'io.deis.oras.content.unpack': 'true' },
    },
  ]);
  const text = await refuse(reference, 'wieghts');
  assert.match(text, /has no subPath "wieghts": there is no "wieghts", only "model\.bin", "weights"$/);
  assert.deepEqual(blobs(), []);
});

test('beside a tar at the root it is refused when the tar is here, and the large file is not waited for', async () => {
  const bytes = gzip(await tarOf([[{ name: 'd/x' }, 'x']]));
  const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';
  const { reference } = await registry.push('tar', 'v1', [large, { bytes, mediaType }]);
  const text = await refuse(reference, 'e');
  assert.match(text, /has no subPath "e": there is no "e", only "model\.bin", "d"$/);
  assert.ok(blobs().includes(sha256(bytes)));
  const asked = blobs().length;
  assert.equal(
    await refuse(reference, 'd/y'),
    text.replace('"e": there is no "e", only "model.bin", "d"', '"d/y": there is no "y", only "x"'),
  );
  assert.equal(blobs().length, asked, 'the tar is cached, so nothing more is asked for');
});

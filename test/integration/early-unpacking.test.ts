import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import type { Fault } from '../support/registry/fault.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const MiB = 1024 * 1024;
const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
const name = 'mirrored.test';

let home: FaultyRegistry;
let peer: FaultyRegistry;
let pushed = 0;

before(async () => {
  home = await openFaultyRegistry();
  peer = await openFaultyRegistry();
});
after(async () => {
  await home?.[Symbol.asyncDispose]();
  await peer?.[Symbol.asyncDispose]();
});

/** An image of one tar of 4 MiB that hardly compresses, in both registries. */
async function push(count = 128) {
  const files = Array.from(
    { length: count },
    (_, nth) => [`d${nth % 5}/f${nth}`, randomBytes((4 * MiB) / count)] as const,
  );
  const bytes = gzip(await tarOf(files.map(([path, content]) => [{ name: path }, content])));
  const repository = `early-${++pushed}`;
  const { reference, layers } = await home.push(repository, 'v1', [{ bytes, mediaType }]);
  await peer.push(repository, 'v1', [{ bytes, mediaType }]);
  const blob = layers[0]?.digest ?? '';
  return {
    reference,
    mirrored: `${name}/${repository}:v1`,
    elsewhere: `${peer.host}/${repository}:v1`,
    blob,
    shown: shownOf(files),
    /** Sets the faults of the requests for the layer, in turn. */
    fault: (registry: FaultyRegistry, ...faults: readonly (Fault | undefined)[]) =>
      registry.fault(({ path, nth }) => (path.includes(blob) ? faults[nth - 1] : undefined)),
    ranges: (registry: FaultyRegistry) =>
      registry.asked
        .filter(({ method, path }) => method === 'GET' && path.includes(blob))
        .map(({ headers }) => headers.range),
  };
}

for (const views of ['trees', undefined] as const) {
  describe(`where views are ${views ?? 'images'}, a tar layer is unpacked while it is downloaded`, () => {
    let node: TestNode;
    let daemon: TestDaemon;

    beforeEach(async () => {
      home.reset();
      peer.reset();
      node = await testNode([home.host, peer.host], { views });
      await writeFile(
        join(node.registriesConfDir, 'mirrors.conf'),
        `[[registry]]\nprefix = "${name}"\nlocation = "${home.host}"\ninsecure = true\n` +
          `[[registry.mirror]]\nlocation = "${peer.host}"\ninsecure = true\n`,
      );
      daemon = await startDaemon(node);
    });
    afterEach(async () => {
      await daemon?.[Symbol.asyncDispose]();
      await node?.[Symbol.asyncDispose]();
    });

    const sizesBelow = (directory: string): readonly number[] => {
      const path = join(node.stateDir, directory);
      if (!existsSync(path)) return [];
      return readdirSync(path, { recursive: true, withFileTypes: true })
        .filter(entry => entry.isFile())
        .map(entry => statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0);
    };
    const unpackedBytes = (): number => sizesBelow('tmp').reduce((sum, bytes) => sum + bytes, 0);
    const untilUnpacked = (bytes: number): Promise<void> =>
      waitUntil(daemon, () => unpackedBytes() >= bytes, `${bytes} bytes unpacked`);
    /** Nothing is in the cache under a digest, and nothing is left aside. */
    const untilNothing = async (): Promise<void> => {
      await waitUntil(daemon, () => sizesBelow('tmp').length === 0, 'removed');
      for (const directory of ['layers', 'views']) assert.deepEqual(sizesBelow(directory), [], directory);
    };
    const start = async (reference: string) => {
      const request = await publishRequest(node, { reference });
      return {
        request,
        target: request.target_path,
        outcome: outcomeOf(daemon.csi.NodePublishVolume(request)),
      };
    };

    test('and shown when the last byte is verified', async () => {
      const { reference, shown, fault, ranges } = await push();
      const hold = Promise.withResolvers<void>();
      fault(home, { kind: 'hold', after: 3 * MiB, until: hold.promise });
      const { target, outcome } = await start(reference);
      await untilUnpacked(2 * MiB);
      assert.deepEqual(sizesBelow('layers'), []);
      verifyGone(target);
      hold.resolve();
      assert.equal((await outcome).code, 'OK');
      verifyVolume(target, shown);
      assert.deepEqual(ranges(home), [undefined]);
      await waitUntil(daemon, () => sizesBelow('tmp').length === 0, 'tidy');
      assert.deepEqual(sizesBelow('ingest'), []);
    });

    test('and nothing of it is kept if the last byte is wrong, which is what the error says', async () => {
      const { reference, shown, fault } = await push();
      const hold = Promise.withResolvers<void>();
      fault(home, { kind: 'hold', after: 3 * MiB, until: hold.promise, of: { kind: 'wrong-end' } });
      const { request, target, outcome } = await start(reference);
      await untilUnpacked(2 * MiB);
      hold.resolve();
      const { code, text } = await outcome;
      assert.equal(code, 'UNAVAILABLE', text);
      assert.match(text, /the \d+ bytes that came have digest sha256:/);
      assert.doesNotMatch(text, /unpack|gzip/);
      verifyGone(target);
      await untilNothing();
      await daemon.csi.NodePublishVolume(request);
      verifyVolume(target, shown);
    });

    test('over a cut, from the byte that was reached', async () => {
      const { reference, shown, fault, ranges } = await push();
      const hold = Promise.withResolvers<void>();
      fault(home, { kind: 'cut', after: 2 * MiB }, { kind: 'hold', after: MiB, until: hold.promise });
      const { target, outcome } = await start(reference);
      await untilUnpacked(2.5 * MiB);
      hold.resolve();
      assert.equal((await outcome).code, 'OK');
      verifyVolume(target, shown);
      assert.deepEqual(ranges(home), [undefined, `bytes=${2 * MiB}-`]);
    });

    test('over a cut, and nothing of it is kept if other bytes follow', async () => {
      const { reference, shown, fault } = await push();
      fault(home, { kind: 'cut', after: 2 * MiB }, { kind: 'wrong-bytes' });
      const { request, target, outcome } = await start(reference);
      const { code, text } = await outcome;
      assert.equal(code, 'UNAVAILABLE', text);
      assert.match(text, /the \d+ bytes that came have digest sha256:/);
      verifyGone(target);
      await untilNothing();
      await daemon.csi.NodePublishVolume(request);
      verifyVolume(target, shown);
    });

    test('over a cut, from another endpoint', async () => {
      const { mirrored, shown, fault, ranges } = await push();
      const hold = Promise.withResolvers<void>();
      const dead: Fault = { kind: 'status', status: 404 };
      fault(peer, { kind: 'cut', after: 2 * MiB }, dead, dead, dead);
      fault(home, { kind: 'hold', after: MiB, until: hold.promise });
      const { target, outcome } = await start(mirrored);
      await untilUnpacked(2.5 * MiB);
      hold.resolve();
      assert.equal((await outcome).code, 'OK');
      verifyVolume(target, shown);
      assert.deepEqual(ranges(home), [`bytes=${2 * MiB}-`]);
    });

    test('and unpacked again if a mirror lied', async () => {
      const { mirrored, shown, fault, ranges } = await push();
      const hold = Promise.withResolvers<void>();
      fault(peer, { kind: 'hold', after: 3 * MiB, until: hold.promise, of: { kind: 'wrong-end' } });
      const { target, outcome } = await start(mirrored);
      await untilUnpacked(2 * MiB);
      hold.resolve();
      const { code, text } = await outcome;
      assert.equal(code, 'OK', text);
      verifyVolume(target, shown);
      assert.deepEqual([ranges(peer), ranges(home)], [[undefined], [undefined]]);
    });

    test('and a kill leaves nothing of it but the download, which goes on', async () => {
      const { reference, shown, fault, ranges } = await push();
      fault(home, { kind: 'stall', after: 3 * MiB });
      const { request, target, outcome } = await start(reference);
      await untilUnpacked(2 * MiB);
      await Promise.all([daemon.end('SIGKILL'), outcome]);
      assert.deepEqual(sizesBelow('layers'), []);
      daemon = await startDaemon(node);
      await untilNothing();
      await daemon.csi.NodePublishVolume(request);
      verifyVolume(target, shown);
      assert.match(ranges(home)[1] ?? '', /^bytes=[1-9]\d+-$/);
    });

    test('and a stop of the daemon does not wait for the rest', async () => {
      const { reference, fault } = await push();
      fault(home, { kind: 'stall', after: 3 * MiB });
      const { outcome } = await start(reference);
      await untilUnpacked(2 * MiB);
      const [code] = await Promise.all([daemon.end('SIGTERM'), outcome]);
      assert.equal(code, 0, daemon.output());
    });

    test('and a download that is held does not hold the same layer from elsewhere', async () => {
      const { reference, elsewhere, shown, fault } = await push();
      const hold = Promise.withResolvers<void>();
      fault(home, { kind: 'hold', after: 3 * MiB, until: hold.promise });
      const held = await start(reference);
      await untilUnpacked(2 * MiB);
      const other = await start(elsewhere);
      assert.equal((await other.outcome).code, 'OK');
      verifyVolume(other.target, shown);
      verifyGone(held.target);
      hold.resolve();
      assert.equal((await held.outcome).code, 'OK');
      verifyVolume(held.target, shown);
      await waitUntil(daemon, () => sizesBelow('tmp').length === 0, 'tidy');
    });

    test('and a limit that it exceeds is told when its bytes are verified', async () => {
      const { reference, blob, fault } = await push(2048);
      await daemon.end('SIGTERM');
      daemon = await startDaemon(node, { flags: { '--max-layer-entries': '1000' } });
      const hold = Promise.withResolvers<void>();
      fault(home, { kind: 'hold', after: 3 * MiB, until: hold.promise });
      const { target, outcome } = await start(reference);
      await waitUntil(daemon, () => home.sent(blob) >= 3 * MiB, 'held');
      hold.resolve();
      const { code, text } = await outcome;
      assert.equal(code, 'FAILED_PRECONDITION', text);
      assert.match(text, /cannot be unpacked: .*entry ".*": more than 1000 entries/);
      verifyGone(target);
      await untilNothing();
    });
  });
}

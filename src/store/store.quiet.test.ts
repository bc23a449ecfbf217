import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { type Digest, toDigest } from '../oci/digest.ts';
import type { VolumeRecord } from '../ports/records.ts';
import type { EntryAttributes } from '../tree/toc.ts';
import { blobAttributes, type DirectoryNode, type FileNode } from '../tree/tree.ts';
import { openStore, type Store } from './store.ts';

const never = new AbortController().signal;
const attributes: EntryAttributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0n };
const layer = 'layer 0';

function digestOf(bytes: Uint8Array): Digest {
  return toDigest('sha256', createHash('sha256').update(bytes).digest('hex'));
}

async function timed(step: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await step();
  return performance.now() - start;
}

/** The longest block of the event loop in the meantime, in milliseconds. */
async function longestBlock(step: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await step();
  delay.disable();
  return delay.max / 1e6;
}

test('a store of 10,000 blobs and 1,000 volumes opens in less than 150 ms', async t => {
  await using directory = await temporaryDirectory();
  const digest = digestOf(Buffer.alloc(0));
  {
    await using store = await openStore({ stateDir: directory.path });
    for (let n = 0; n < 10_000; n++) {
      const bytes = Buffer.from(String(n));
      writeFileSync(store.blobs.path(digestOf(bytes)), bytes);
    }
    for (let n = 0; n < 1000; n++) await store.volumes.put(volumeAt(`/pods/${n}`, digest));
  }
  let store: Store | undefined;
  const open = await timed(async () => (store = await openStore({ stateDir: directory.path })));
  const list = await timed(async () => assert.equal((await store?.volumes.list())?.length, 1000));
  await store?.[Symbol.asyncDispose]();
  t.diagnostic(`open ${open.toFixed(1)} ms, list of 1,000 volumes ${list.toFixed(1)} ms`);
  assert.ok(open < 150, `${open} ms`);
});

test('1,000 tiny blobs, six at a time, are downloaded and durable in less than 4 s', async t => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const left = Array.from({ length: 1000 }, () => randomBytes(60));
  const worker = async (): Promise<void> => {
    for (let bytes = left.pop(); bytes !== undefined; bytes = left.pop()) {
      const descriptor = { mediaType: '', digest: digestOf(bytes), size: bytes.length, annotations: {} };
      await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
      ingest.write(bytes);
      await ingest.verify();
      await ingest.commit();
    }
  };
  const elapsed = await timed(() => Promise.all(Array.from({ length: 6 }, worker)));
  t.diagnostic(`${elapsed.toFixed(0)} ms`);
  assert.equal((await store.blobs.list()).length, 1000);
  assert.ok(elapsed < 4000, `${elapsed} ms`);
});

test('a view of 50,000 files is built, found and removed without blocking the event loop', async t => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const files: FileNode[] = [];
  for (let n = 0; n < 100; n++) {
    const bytes = Buffer.from(String(n));
    await store.blobs.put(digestOf(bytes), bytes);
    files.push({
      kind: 'file',
      source: { kind: 'blob', digest: digestOf(bytes) },
      body: 0,
      size: bytes.length,
      attributes: blobAttributes,
      layer,
    });
  }
  const directoryOf = (size: number): DirectoryNode => {
    const children = new Map(
      Array.from({ length: size }, (_, n) => [`file-${n}`, files[n % 100] as FileNode]),
    );
    return { kind: 'directory', children, attributes, layer };
  };
  const children = new Map(Array.from({ length: 50 }, (_, n) => [`directory-${n}`, directoryOf(1000)]));
  const manifest = digestOf(Buffer.alloc(0));
  const record = { key: 'big', manifest, reference: 'r', blobs: [], layers: [], bytes: 1, inodes: 1 };

  let build = 0;
  let removal = 0;
  const blockedByBuild = await longestBlock(async () => {
    build = await timed(() =>
      store.views.build(record, { kind: 'directory', children, attributes, layer }, never),
    );
  });
  const find =
    (await timed(async () => {
      for (let n = 0; n < 1000; n++) await store.views.find(record.key);
    })) / 1000;
  const blockedByRemoval = await longestBlock(async () => {
    removal = await timed(() => store.views.remove(record.key));
  });
  t.diagnostic(
    `built in ${build.toFixed(0)} ms (longest block ${blockedByBuild.toFixed(1)} ms), found in ${(find * 1000).toFixed(1)} µs, removed in ${removal.toFixed(0)} ms (${blockedByRemoval.toFixed(1)} ms)`,
  );
  assert.ok(build < 10_000 && removal < 10_000);
  assert.ok(find < 0.1, `${find} ms`);
  assert.ok(Math.max(blockedByBuild, blockedByRemoval) < 100, `${blockedByBuild} and ${blockedByRemoval} ms`);
});

function volumeAt(targetPath: string, digest: Digest): VolumeRecord {
  return {
    volumeId: targetPath,
    targetPath,
    fingerprint: '{}',
    anywhere: false,
    reference: 'r',
    resolved: 'r',
    digest,
    manifest: digest,
    view: 'key',
    bytes: 1,
    holds: [],
    inodes: 1,
    publishedAt: 1,
  };
}

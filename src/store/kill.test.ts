import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, waitUntil } from '../../test/support/node/child.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { openStore } from './store.ts';

/** Creates and removes layers and views endlessly; each view has 10 directories of 20 files. */
const work = (store: string, toc: string, stateDir: string): string => `
  import { createHash } from 'node:crypto';
  import { writeFileSync } from 'node:fs';
  const { openStore } = await import(${JSON.stringify(store)});
  const { placeOfBody, writeToc } = await import(${JSON.stringify(toc)});
  const store = await openStore({ stateDir: ${JSON.stringify(stateDir)} });
  const attributes = { mode: 0o644, uid: 0, gid: 0, mtime: 0n };
  const layer = 'layer 0';
  console.log('working');
  for (let round = Date.now(); ; round++) {
    const digest = 'sha256:' + createHash('sha256').update(String(round)).digest('hex');
    const content = String(round);
    const sha256 = createHash('sha256').update(content).digest('hex');
    await using stage = await store.layers.stage(digest);
    const entries = [];
    for (let body = 0; body < 20; body++) {
      writeFileSync(placeOfBody(stage.path, body), content);
      entries.push({ kind: 'file', path: 'f' + body, size: content.length, body, sha256, ...attributes });
    }
    await stage.commit(writeToc(stage.path, { digest, diffId: digest, notes: [], entries }));
    const files = entries.map(({ path, size, body }) => [path, { kind: 'file', source: { kind: 'bodies', digest }, body, size, attributes, layer }]);
    const directory = { kind: 'directory', children: new Map(files), attributes, layer };
    const directories = Array.from({ length: 10 }, (_, n) => ['d' + n, directory]);
    const record = { key: 'key-' + round, manifest: digest, reference: content, blobs: [], layers: [digest], bytes: 1, inodes: 211 };
    await store.views.build(record, { ...directory, children: new Map(directories) }, new AbortController().signal);
    for (const view of (await store.views.list()).slice(3)) {
      await store.views.remove(view.key);
      await store.layers.remove(view.layers[0]);
    }
  }`;

test('a process killed at any moment leaves complete layers and views, and incomplete ones only until the next start', async () => {
  await using directory = await temporaryDirectory();
  const [store, toc] = ['./store.ts', '../../test/support/oci/toc.ts'].map(
    path => new URL(path, import.meta.url).href,
  );
  const script = work(store ?? '', toc ?? '', directory.path);
  let seen = 0;
  for (let kill = 0; kill < 8; kill++) {
    await using child = await startChild(process.execPath, ['--input-type=module', '-e', script]);
    await waitUntil(child, () => child.output().includes('working'), 'it worked');
    await sleep(20 + Math.random() * 80);
    await child.end('SIGKILL');

    await using store = await openStore({ stateDir: directory.path });
    assert.deepEqual(await store.views.listLost(), []);
    for (const view of await store.views.list()) {
      seen++;
      const paths = readdirSync(view.path, { recursive: true, encoding: 'utf8' }).map(path =>
        join(view.path, path),
      );
      assert.equal(paths.length + 1, view.inodes);
      for (const path of paths) {
        if (statSync(path).isFile()) assert.equal(readFileSync(path, 'utf8'), view.reference);
      }
    }
    for (const { digest } of await store.layers.list()) {
      assert.equal(await store.layers.has(digest), true);
      assert.equal(await store.layers.check(digest, new AbortController().signal), undefined);
    }
    const listed = (await store.views.list()).flatMap(({ key }) => [key, `${key}.json`]);
    const there = readdirSync(join(directory.path, 'views')).filter(name => !name.endsWith('.shape'));
    assert.deepEqual(there.toSorted(), listed.toSorted());
    while (readdirSync(join(directory.path, 'tmp')).length > 0) await sleep(5);
  }
  assert.ok(seen > 0);
});

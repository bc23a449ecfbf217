import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { needs } from '../../../test/support/project/tools.ts';
import { openStore } from '../store.ts';

const never = new AbortController().signal;
const bytes = randomBytes(100_000);
const descriptor = describeBlob(bytes);

/** A store, and a file of another program with two names: `theirs`, and `given` for the store. */
async function openWorld(content = bytes) {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const at = (name: string): string => join(directory.path, name);
  const store = stack.use(await openStore({ stateDir: at('state') }));
  writeFileSync(at('theirs'), content);
  linkSync(at('theirs'), at('given'));
  const give = (path = at('given')) => ({
    path,
    [Symbol.dispose]: () => rmSync(path, { force: true }),
  });
  const ingest = () => store.blobs.ingest(descriptor, 'registry', never);
  const held = stack.move();
  return { at, store, give, ingest, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

test('the file of another program becomes the blob, and has its blocks once', async () => {
  await using world = await openWorld();
  {
    await using ingest = await world.ingest();
    await ingest.file.adopt?.(world.give());
    assert.equal(ingest.offset, bytes.length);
    await ingest.verify();
    await ingest.commit();
  }
  const blob = world.store.blobs.path(descriptor.digest);
  assert.equal(statSync(blob).ino, statSync(world.at('theirs')).ino);
  assert.deepEqual(readFileSync(blob), bytes);
  assert.ok(!existsSync(world.at('given')));
  assert.deepEqual(readdirSync(world.at('state/ingest')), []);
  await world.store.blobs.remove(descriptor.digest);
  assert.deepEqual(readFileSync(world.at('theirs')), bytes);
});

test('a file that was changed before its hash ended is refused, and stays whole', async () => {
  await using world = await openWorld();
  await using ingest = await world.ingest();
  await ingest.file.adopt?.(world.give());
  const changed = Buffer.from(bytes).fill(0, 0, 10);
  ingest.file.hashed?.(descriptor.digest.slice('sha256:'.length)); // as if it had been read before
  writeFileSync(world.at('theirs'), changed);
  await assert.rejects(ingest.verify(), { code: 'corrupt', message: /changed it meanwhile/ });
  assert.deepEqual(readFileSync(world.at('theirs')), changed);
  assert.ok(!existsSync(world.at('given')));
  ingest.write(bytes);
  await ingest.verify();
  await ingest.commit();
  assert.notEqual(statSync(world.store.blobs.path(descriptor.digest)).ino, statSync(world.at('theirs')).ino);
});

test('wrong bytes of another program are refused, and its file stays whole', async () => {
  const wrong = Buffer.alloc(bytes.length);
  await using world = await openWorld(wrong);
  {
    await using ingest = await world.ingest();
    await ingest.file.adopt?.(world.give());
    await assert.rejects(ingest.verify(), { code: 'corrupt', message: /have digest/ });
    assert.equal(ingest.offset, 0);
  }
  assert.deepEqual(readFileSync(world.at('theirs')), wrong);
  assert.deepEqual(readdirSync(world.at('state/ingest')), []);
});

test('an adopted file whose download ends early is left to its owner', async () => {
  await using world = await openWorld();
  {
    await using ingest = await world.ingest();
    await ingest.file.adopt?.(world.give());
  }
  assert.ok(!existsSync(world.at('given')));
  assert.deepEqual(readFileSync(world.at('theirs')), bytes);
  assert.deepEqual(readdirSync(world.at('state/ingest')), []);
});

test('a file of another size or owner, a symlink, and a file of another mount are refused', async t => {
  await using world = await openWorld();
  const refuse = async (path: string, expected: object): Promise<void> => {
    await using ingest = await world.ingest();
    await assert.rejects(async () => ingest.file.adopt?.(world.give(path)), expected);
    assert.equal(ingest.offset, 0);
    ingest.write(bytes.subarray(0, 10));
    assert.deepEqual(readFileSync(ingest.path), bytes.subarray(0, 10));
    ingest.restart();
  };
  writeFileSync(world.at('short'), bytes.subarray(1));
  await refuse(world.at('short'), { code: 'unavailable', message: /has 99999 bytes/ });
  symlinkSync(world.at('theirs'), world.at('symlink'));
  await refuse(world.at('symlink'), { code: 'SYMLINK' });
  if (needs('root').skip !== false) return t.skip('the rest needs root');
  writeFileSync(world.at('foreign'), bytes);
  chownSync(world.at('foreign'), 65_534, 65_534);
  await refuse(world.at('foreign'), { code: 'unavailable', message: /belongs to 65534:65534/ });
  mkdirSync(world.at('mounted'));
  writeFileSync(world.at('mounted/file'), bytes);
  execFileSync('mount', ['--bind', world.at('mounted'), world.at('mounted')]);
  try {
    await refuse(world.at('mounted/file'), { code: 'EXDEV' });
  } finally {
    execFileSync('umount', [world.at('mounted')]);
  }
});

import assert from 'node:assert/strict';
import { linkSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { decodeName } from '../../util/name.ts';
import { openLinks } from './links.ts';

/** `count` files, and the links `at/0`, `at/1` … to make of them. */
async function prepare(count: number) {
  const directory = await temporaryDirectory();
  const [from, at] = [join(directory.path, 'from'), join(directory.path, 'at')];
  mkdirSync(from);
  mkdirSync(at);
  const links = Array.from({ length: count }, (_, of) => ({ of, from: `${from}/${of}`, at: `${at}/${of}` }));
  for (const { from: path } of links) writeFileSync(path, '');
  return { directory, links };
}

for (const count of [0, 1, 256, 20_000]) {
  test(`each link is its file, for ${count} of them`, async () => {
    const { directory, links } = await prepare(count);
    await using _ = directory;
    await using made = openLinks<number>();
    for (const link of links) {
      made.add(link);
      if (link.of % 1000 === 0) await new Promise(setImmediate);
    }
    assert.deepEqual(await made.finish(), []);
    assert.equal(readdirSync(join(directory.path, 'at')).length, count);
    for (const { from, at } of links) assert.equal(statSync(at).ino, statSync(from).ino);
  });
}

test('failed links are reported from both threads, and the others exist', async () => {
  const { directory, links } = await prepare(20_000);
  await using _ = directory;
  await using made = openLinks<number>();
  const bad = new Set([0, 300, 5000, 6001, 12_345, 19_999]);
  for (const { of, from, at } of links) {
    if (of === 300) linkSync(from, at);
    made.add({ of, from: bad.has(of) && of !== 300 ? `${from}.absent` : from, at });
    if (of % 1000 === 0) await new Promise(setImmediate);
  }
  const failed = await made.finish();
  assert.deepEqual(new Set(failed.map(({ of }) => of)), bad);
  assert.equal(readdirSync(join(directory.path, 'at')).length, 20_000 - (bad.size - 1));
});

test('names that are not UTF-8 keep their bytes in the second thread, too', async () => {
  const { directory, links } = await prepare(10_000);
  await using _ = directory;
  await using made = openLinks<number>();
  for (const { of, from, at } of links) {
    const odd = decodeName(Buffer.concat([Buffer.from(`${at}-`), Buffer.of(0xff, 0xe4)]));
    made.add({ of, from, at: odd });
    if (of % 1000 === 0) await new Promise(setImmediate);
  }
  assert.deepEqual(await made.finish(), []);
  const names = readdirSync(join(directory.path, 'at'), { encoding: 'buffer' });
  assert.equal(names.length, 10_000);
  for (const name of names) assert.deepEqual([...name.subarray(-2)], [0xff, 0xe4]);
});

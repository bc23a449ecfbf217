import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, statfsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCommand } from '../support/node/command.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { layoutOf, loadTar } from '../support/oci/layout.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { openSmallDisk } from '../support/os/small-disk.ts';
import { needs } from '../support/project/tools.ts';

/** Names of what a state directory has of content, whole or not. */
function contentOf(stateDir: string): readonly string[] {
  return ['blobs/sha256', 'layers/bodies/sha256', 'ingest', 'names', 'tmp'].flatMap(directory =>
    readdirSync(join(stateDir, directory)).map(name => `${directory}/${name}`),
  );
}

function usedPercent(path: string): number {
  const { blocks, bavail } = statfsSync(path);
  return (100 * (blocks - bavail)) / blocks;
}

const flags = { '--disk-max': '50', '--cache-high': '45', '--cache-low': '40' };

test('a layout that would exceed --disk-max is refused and leaves nothing', needs('root'), async () => {
  await using disk = await openSmallDisk('size=32m', flags);
  const { node, daemon } = disk;
  await disk.publish(await disk.volume(1 << 20));
  const before = contentOf(node.stateDir);
  const random = randomBytes(20 << 20);
  const half = random.subarray(10 << 20);
  const packed = gzip(await tarOf([[{ name: 'f' }, Buffer.alloc(20 << 20, 'zeros')]]));
  const halves = await layoutOf([
    { name: 'f', bytes: random.subarray(0, 10 << 20) },
    { name: 'g', bytes: half },
  ]);
  const needed =
    / needs [\d.]+ MiB more in the cache, and its disk has room for [\d.]+ .?i?B below --disk-max/;
  for (const [what, tar] of [
    ['one file', await layoutOf([{ name: 'f', bytes: random }])],
    ['two files', halves],
    ['a tar that grows', await layoutOf([{ mediaType: 'application/vnd.acme.v1.tar+gzip', bytes: packed }])],
  ] as const) {
    const { code, text } = await outcomeOf(loadTar(daemon, 'offline.test/big:v1', tar));
    assert.equal(code, 'RESOURCE_EXHAUSTED', `${what}: ${text}`);
    assert.match(text, needed);
    assert.deepEqual(contentOf(node.stateDir), before, what);
    assert.ok(usedPercent(disk.root) < 50);
  }
  const small = await layoutOf([{ name: 'f', bytes: half.subarray(0, 2 << 20) }]);
  await loadTar(daemon, 'offline.test/small:v1', small);
  await daemon.artifacts.Remove({ reference: 'offline.test/small:v1' });
  assert.deepEqual(contentOf(node.stateDir), before, 'what has room is loaded');

  await daemon.end('SIGTERM');
  const path = join(node.path, 'layout.tar');
  await writeFile(path, halves);
  const options = [...Object.entries(flags).flat(), '--state-dir', node.stateDir];
  const ran = await runCommand(node, ['load', path, 'offline.test/big:v1', ...options]);
  assert.equal(ran.code, 11, ran.stderr);
  assert.match(ran.stderr, needed);
  assert.deepEqual(contentOf(node.stateDir), before, 'without a daemon');
});

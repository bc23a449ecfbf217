import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStore } from '../../src/store/store.ts';
import { describeBlob } from '../support/oci/nodes.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';

const MiB = 1024 * 1024;
const never = new AbortController().signal;

/** An ext4 in a file. */
function mountImage(image: string, path: string): string {
  writeFileSync(image, '');
  truncateSync(image, 512 * MiB);
  execFileSync('mkfs.ext4', ['-q', image]);
  mkdirSync(path);
  execFileSync('mount', ['-o', 'loop', image, path]);
  return path;
}

/** One whose queue has room for 16 KiB. */
function makeShallow(disk: string): void {
  const { dev } = statSync(disk);
  const queue = `/sys/dev/block/${dev >> 8}:${dev & 0xff}/queue`;
  writeFileSync(`${queue}/max_sectors_kb`, '4');
  writeFileSync(`${queue}/nr_requests`, '4');
}

test('a disk that stalls does not block the thread of a download', needs('root', 'mkfs.ext4'), async () => {
  await using directory = await temporaryDirectory();
  const below = mountImage(join(directory.path, 'image'), join(directory.path, 'below'));
  const disk = mountImage(join(below, 'image'), join(directory.path, 'disk'));
  makeShallow(disk);
  await using store = await openStore({ stateDir: join(disk, 'state') });
  const bytes = Buffer.alloc(40 * MiB, 7);
  await using ingest = await store.blobs.ingest(describeBlob(bytes), 'registry', never);
  ingest.write(bytes.subarray(0, 1));
  const freezing = spawn('sh', ['-c', `fsfreeze -f ${below}; echo; sleep 1.5; fsfreeze -u ${below}`]);
  await once(freezing.stdout, 'data');
  const turns = monitorEventLoopDelay({ resolution: 5 });
  turns.enable();
  while (ingest.offset < bytes.length) {
    ingest.write(bytes.subarray(ingest.offset, ingest.offset + MiB));
    await sleep(5);
  }
  assert.ok(turns.max < 500e6, `${turns.max / 1e6} ms without a turn`);
  await ingest.verify();
  await ingest.commit();
});

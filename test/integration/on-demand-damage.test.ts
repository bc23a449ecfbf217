import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { listed } from '../support/late/chunk-list.ts';
import {
  compareFile,
  conditionOf,
  isLoaded,
  loadingOf,
  publishLate,
  until,
} from '../support/late/loading.ts';
import { startDaemon, type TestDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { sha256 } from '../support/oci/tar.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** Images that are damaged while a volume shows them: damage.test.ts has others. */

const MiB = 1024 * 1024;
const registry = await openFaultyRegistry();
after(() => registry[Symbol.asyncDispose]());
const patience = { flags: { '--on-demand-patience': '2s' } };
let pushed = 0;

/** A file of which the registry has lost all but the first chunk, and its right copy. */
async function push(node: TestNode) {
  registry.reset();
  const bytes = randomBytes(6 * MiB + 99);
  const small = { name: 'config.json', bytes: Buffer.from('{}') };
  const { reference } = await registry.push(`damaged-${pushed++}`, 'v1', [small, ...listed('model', bytes)]);
  const copy = join(node.path, 'copy');
  writeFileSync(copy, bytes);
  registry.fault(({ path, headers }) => {
    const isFirst = headers.range === 'bytes=0-0' || headers.range?.startsWith('bytes=0-') === true;
    return path.endsWith(sha256(bytes)) && !isFirst ? { kind: 'status', status: 404 } : undefined;
  });
  return { reference, copy };
}

const heal = (): void => registry.fault(() => undefined);

/** The image of the one late view. */
function imageOf({ stateDir }: TestNode): string {
  const [key = ''] = readdirSync(join(stateDir, 'late'));
  const directory = join(stateDir, 'views', `${key}.erofs`);
  return join(directory, readdirSync(directory)[0] ?? '');
}

function flip(path: string, at: number): void {
  const byte = Buffer.alloc(1);
  const fd = openSync(path, 'r+');
  readSync(fd, byte, 0, 1, at);
  writeSync(fd, Buffer.of((byte[0] ?? 0) ^ 0x10), 0, 1, at);
  closeSync(fd);
}

/** What a disk or an administrator may do to an image. The last byte is of no inode. */
const damages: Readonly<Record<string, (path: string) => void>> = {
  'another byte in the superblock': path => flip(path, 1024 + 16),
  'another byte at the end': path => flip(path, statSync(path).size - 1),
  'fewer bytes': path => truncateSync(path, statSync(path).size - 4096),
  'more bytes': path => writeFileSync(path, 'more', { flag: 'a' }),
};

/** Publishes a volume of which a chunk is here. */
async function publishBegun(daemon: TestDaemon, reference: string) {
  const request = await publishLate(daemon, reference);
  await until(
    'a chunk is here',
    async () => ((await loadingOf(daemon, request.target_path))?.bytes ?? 0) > 0,
  );
  return request;
}

async function verifyNewPod(daemon: TestDaemon, { reference, copy }: Awaited<ReturnType<typeof push>>) {
  heal();
  const request = await publishLate(daemon, reference);
  await until(
    'it is right',
    async () => (await compareFile(join(request.target_path, 'model'), copy)) === 'right',
  );
  const { abnormal, message } = await conditionOf(daemon, request);
  assert.ok(!abnormal, message);
  return request;
}

for (const [what, damage] of Object.entries(damages))
  test(`after a restart, an image with ${what} is not continued: its volume is damaged, and a new pod gets another`, async () => {
    await using node = await testNode([registry.host]);
    const sample = await push(node);
    let request: Awaited<ReturnType<typeof publishLate>>;
    {
      await using daemon = await startDaemon(node, patience);
      request = await publishBegun(daemon, sample.reference);
    }
    damage(imageOf(node));
    await using daemon = await startDaemon(node, patience);
    await until('it says so', async () => (await conditionOf(daemon, request)).abnormal);
    await until('it says why', async () =>
      /shows damaged content .*its image .*; delete the pod/.test(
        (await conditionOf(daemon, request)).message,
      ),
    );
    assert.match(
      daemon.output(),
      /its image is not the one that was made for it: it is built anew; \S+ shows it/,
    );
    assert.equal(await loadingOf(daemon, request.target_path), undefined);
    const next = await verifyNewPod(daemon, sample);
    assert.notEqual(await compareFile(join(request.target_path, 'model'), sample.copy, 5_000), 'wrong');
    for (const one of [request, next]) await daemon.csi.NodeUnpublishVolume(one);
    assert.deepEqual(mountsBelow(node.kubeletDir), []);
  });

test('an image that shows chunks is not damaged, before and after a restart', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(node);
  let request: Awaited<ReturnType<typeof publishLate>>;
  {
    await using daemon = await startDaemon(node, patience);
    request = await publishBegun(daemon, sample.reference);
    for await (const { finding } of daemon.streams.Fsck({})) assert.ok(!finding, finding?.problem);
  }
  heal();
  await using daemon = await startDaemon(node, patience);
  await until('complete', () => isLoaded(daemon, request.target_path));
  for await (const { finding } of daemon.streams.Fsck({})) assert.ok(!finding, finding?.problem);
  assert.equal(await compareFile(join(request.target_path, 'model'), sample.copy), 'right');
});

test('fsck finds a damaged image that is loaded just now, and its repair gives new pods another', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(node);
  await using daemon = await startDaemon(node, patience);
  const request = await publishBegun(daemon, sample.reference);
  flip(imageOf(node), 1024 + 16);
  for (const repair of [false, true]) {
    const problems: string[] = [];
    for await (const { finding } of daemon.streams.Fsck({ repair }))
      if (finding) problems.push(finding.problem);
    assert.equal(problems.length, 1, problems.join());
    assert.match(
      problems[0] ?? '',
      /^its image is not the one that was made for it; \S+ shows it: delete that pod/,
    );
  }
  assert.match((await conditionOf(daemon, request)).message, /shows damaged content .*its image/);
  const next = await verifyNewPod(daemon, sample);
  for (const one of [request, next]) await daemon.csi.NodeUnpublishVolume(one);
  await until('nothing of it is mounted', () => mountsBelow(node.kubeletDir).length === 0);
});

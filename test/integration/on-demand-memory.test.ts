import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pushArtifact } from '../../src/cli/demo/artifact.ts';
import { chunkSizeFor, chunksAnnotation, formatChunkList } from '../../src/oci/chunk-list.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { chunkListType } from '../../src/oci/plan.ts';
import { publishRequest, startDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { main, sourceMain } from '../support/node/main.ts';
import { sha256 } from '../support/oci/tar.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const GiB = 1024 ** 3;
const mega = 1_000_000;
const shards = 30;
const size = Math.round((140 * GiB) / shards);
/** Milliseconds: the daemon gives memory back in the first quiet second, which a busy machine puts off. */
const timeoutMs = 40_000;
/** It has settled when it stays below the limit for so many samples, two seconds. */
const calmSamples = 20;
/** Bytes. Source takes more, because its types are stripped at the start. */
const most = main === sourceMain ? Infinity : 110 * mega;

const registry = await openFaultyRegistry();
after(() => registry[Symbol.asyncDispose]());

/** The digests of the large files, of which the registry never sends more than one byte. */
const stalled = new Set<string>();

/** Pushes an artifact of 140 GiB. */
async function push(repository: string, isListed: boolean): Promise<string> {
  const chunkSize = chunkSizeFor(size);
  const pairs = Array.from({ length: shards }, (_, at) => {
    const seed = randomBytes(32);
    const blob = { digest: parseDigest(sha256(seed)), size };
    const list = formatChunkList({ chunkSize, blob, digests: randomBytes(Math.ceil(size / chunkSize) * 32) });
    const read = (from: number, to: number) => (to - from === size ? [seed] : [Buffer.alloc(1)]);
    stalled.add(blob.digest);
    const shard = { name: `shard-${at}`, bytes: { size, read } };
    if (!isListed) return [shard];
    const annotations = { [chunksAnnotation]: sha256(list) };
    return [
      { ...shard, annotations },
      { name: `shard-${at}.chunks`, bytes: list, mediaType: chunkListType },
    ];
  });
  const config = { name: 'config.json', bytes: Buffer.from('{}') };
  await pushArtifact(registry.registry, repository, 'v1', [config, ...pairs.flat()]);
  return `${registry.host}/${repository}:v1`;
}

/** Gives a node a disk for more than it has to hold, of which no byte is written. */
function mountLargeDisk(node: TestNode): void {
  const image = join(node.path, 'disk');
  writeFileSync(image, '');
  truncateSync(image, 200 * GiB);
  execFileSync('mkfs.ext4', [
    '-q',
    '-N',
    '4096',
    '-O',
    '^has_journal',
    '-E',
    'nodiscard,lazy_itable_init=1',
    image,
  ]);
  mkdirSync(node.stateDir, { mode: 0o700 });
  execFileSync('mount', ['-o', 'loop', image, node.stateDir]);
}

/** Seconds of all threads. */
function cpuOf(pid: number): number {
  const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const [user, system] = rest.split(' ').slice(11, 13).map(Number);
  return ((user ?? 0) + (system ?? 0)) / 100;
}

function residentOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

for (const kind of ['layer', 'chunk'] as const)
  test(`140 GiB that come by ${kind} are mounted at once, and take little memory`, needs('root'), async t => {
    await using node = await testNode([registry.host]);
    mountLargeDisk(node);
    const reference = await push(`large-${kind}`, kind === 'chunk');
    const isStalled = (path: string): boolean => stalled.has(path.slice(path.lastIndexOf('/') + 1));
    registry.fault(({ path, headers }) =>
      isStalled(path) && headers.range !== 'bytes=0-0' ? { kind: 'stall', after: 0 } : undefined,
    );
    await using daemon = await startDaemon(node);
    const request = await publishRequest(node, { reference, loading: 'onDemand' });
    const [begun, before] = [performance.now(), cpuOf(daemon.pid)];
    await daemon.csi.NodePublishVolume(request);
    const took = { seconds: (performance.now() - begun) / 1000, cpu: cpuOf(daemon.pid) - before };
    assert.equal(statSync(join(request.target_path, 'shard-29')).size, size);
    const { volumes } = await daemon.artifacts.ListVolumes({});
    let settled = { resident: Infinity, samples: 0 };
    const until = Date.now() + timeoutMs;
    while (settled.samples < calmSamples && Date.now() < until) {
      await sleep(100);
      const resident = residentOf(daemon.pid);
      settled = { resident, samples: resident < most ? settled.samples + 1 : 0 };
    }
    const seen = JSON.stringify({ ...took, ...settled });
    t.diagnostic(seen);
    assert.ok((volumes[0]?.loading?.total_bytes ?? 0) >= shards * size, seen);
    assert.ok(took.cpu < 2, seen);
    assert.ok(settled.samples === calmSamples, seen);
  });

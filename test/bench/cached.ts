import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { bytesReadBy, percentile } from './measure.ts';

/** Milliseconds of NodePublishVolume at the client; `mounts` and `bytesRead` are per call. */
export type CachedResult = {
  readonly p50: number;
  readonly p99: number;
  readonly mounts: number;
  readonly bytesRead: number;
};

const blobBytes = 64 * 1024 * 1024;
const publishes = 500;

/** Publishes an artifact of 64 MiB for one pod after another, once it is in the cache. */
export async function runCached(program: string): Promise<CachedResult> {
  await using registry = await startRealRegistry();
  await using node = await testNode([registry.host]);
  const reference = `${registry.host}/bench/cached:1`;
  await writeFile(join(node.path, 'blob.bin'), randomBytes(blobBytes));
  await oras(['push', '--plain-http', reference, 'blob.bin'], node.path);
  await using daemon = await startDaemon(node, { program, flags: { '--log-level': 'info' } });
  await daemon.csi.NodePublishVolume(await publishRequest(node, { reference }));

  const requests = await Promise.all(
    Array.from({ length: publishes }, () => publishRequest(node, { reference })),
  );
  const mounts = mountsBelow(node.kubeletDir).length;
  const read = bytesReadBy(daemon.pid);
  const times: number[] = [];
  for (const request of requests) {
    const start = performance.now();
    await daemon.csi.NodePublishVolume(request);
    times.push(performance.now() - start);
  }
  return {
    p50: percentile(times, 0.5),
    p99: percentile(times, 0.99),
    mounts: (mountsBelow(node.kubeletDir).length - mounts) / publishes,
    bytesRead: Math.round((bytesReadBy(daemon.pid) - read) / publishes),
  };
}

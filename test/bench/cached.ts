import { performance } from 'node:perf_hooks';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { bytesReadBy } from './cost.ts';
import type { Figure } from './report.ts';
import { percentile } from './standing.ts';

/** Publishes of an artifact that is in the cache, for one pod after another, and for thirty at once. */
export async function measureCached(program: string, publishes: number): Promise<readonly Figure[]> {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const bytes = Buffer.alloc(16_000_000, 'weights ');
  const { reference } = await registry.push('bench/cached', '1', [{ name: 'blob.bin', bytes }]);
  await using daemon = await startDaemon(node, { program, flags: { '--log-level': 'info' } });
  const requests = async (count: number) =>
    await Promise.all(Array.from({ length: count }, () => publishRequest(node, { reference })));
  const [first, ...singles] = await requests(publishes + 1);
  if (first !== undefined) await daemon.csi.NodePublishVolume(first);
  const before = { mounts: mountsBelow(node.kubeletDir).length, read: bytesReadBy(daemon.pid) };

  const probes = await timeEach(singles, () => daemon.identity.Probe({}));
  const publish = await timeEach(singles, request => daemon.csi.NodePublishVolume(request));
  const mounts = (mountsBelow(node.kubeletDir).length - before.mounts) / publishes;
  const read = (bytesReadBy(daemon.pid) - before.read) / publishes;
  const crowd = await requests(30);
  const probesAtOnce = await timeAll(crowd, () => daemon.identity.Probe({}));
  const atOnce = await timeAll(crowd, request => daemon.csi.NodePublishVolume(request));

  const row = 'cached';
  const probe = (share: number) => ({ what: 'Probe', value: percentile(probes, share) });
  return [
    {
      row,
      what: 'a publish, median',
      value: percentile(publish, 0.5),
      unit: 'ms',
      floor: probe(0.5),
      most: 3,
    },
    {
      row,
      what: 'a publish, 99th percentile',
      value: percentile(publish, 0.99),
      unit: 'ms',
      floor: probe(0.99),
    },
    { row, what: 'mounts for each', value: mounts, unit: '', most: 1 },
    { row, what: 'bytes read for each, of anything', value: read, unit: 'bytes', most: 65_536 },
    {
      row,
      what: '30 publishes at once, until the last is done',
      value: atOnce,
      unit: 'ms',
      floor: { what: '30 Probes', value: probesAtOnce },
    },
  ];
}

/** Milliseconds at the client. */
async function timeEach<T>(
  items: readonly T[],
  call: (item: T) => Promise<unknown>,
): Promise<readonly number[]> {
  const times: number[] = [];
  for (const item of items) times.push(await timeAll([item], call));
  return times;
}

async function timeAll<T>(items: readonly T[], call: (item: T) => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await Promise.all(items.map(call));
  return performance.now() - start;
}

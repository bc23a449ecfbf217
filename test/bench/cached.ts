import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { text } from 'node:stream/consumers';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { toolPath } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { bytesReadBy } from './cost.ts';
import type { Figure } from './report.ts';
import { percentile } from './standing.ts';

/** The layers of an artifact that has very many. */
const manyLayers = 1000;

/**
 * Publishes of an artifact that is in the cache, for one pod after another, by a client in Go like kubelet: on a node
 * without other volumes, on one with a thousand, and of an artifact of a thousand layers; and for thirty pods at once.
 */
export async function measureCached(program: string, publishes: number): Promise<readonly Figure[]> {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const bytes = Buffer.alloc(16_000_000, 'weights ');
  const { reference } = await registry.push('bench/cached', '1', [{ name: 'blob.bin', bytes }]);
  const layers = Array.from({ length: manyLayers }, (_, nth) => ({
    name: `${nth}`,
    bytes: Buffer.from(`part ${nth}`),
  }));
  const many = await registry.push('bench/layers', '1', layers);
  await using daemon = await startDaemon(node, { program, flags: { '--log-level': 'info' } });
  const requests = async (count: number, attributes = {}) =>
    await Promise.all(
      Array.from({ length: count }, () => publishRequest(node, { reference, ...attributes })),
    );
  const [first, ofMany] = [...(await requests(1)), ...(await requests(1, { reference: many.reference }))];
  for (const request of [first, ofMany])
    if (request !== undefined) await daemon.csi.NodePublishVolume(request);
  const before = { mounts: mountsBelow(node.kubeletDir).length, read: bytesReadBy(daemon.pid) };

  const times = async (method: string, of: readonly unknown[]) =>
    toPercentiles(await timeCalls(node.socket, method, of));
  const publish = await times('NodePublishVolume', await requests(publishes));
  const mounts = (mountsBelow(node.kubeletDir).length - before.mounts) / publishes;
  const read = (bytesReadBy(daemon.pid) - before.read) / publishes;
  const always = await times('NodePublishVolume', await requests(publishes, { pullPolicy: 'Always' }));
  const ofLayers = await times('NodePublishVolume', await requests(publishes, { reference: many.reference }));
  const crowded = await times('NodePublishVolume', await requests(publishes));
  const manifest = `${registry.host}/v2/bench/cached/manifests/1`;
  const head = percentile(
    await timeEach(publishes, async () => await fetch(`http://${manifest}`, { method: 'HEAD' })),
    0.5,
  );
  const nothing = await times(
    'NodeGetInfo',
    Array.from({ length: publishes }, () => ({})),
  );
  const crowd = await requests(30);
  const [nothings, atOnce] = [
    await timeAtOnce(crowd.map(() => () => daemon.csi.NodeGetInfo({}))),
    await timeAtOnce(crowd.map(request => () => daemon.csi.NodePublishVolume(request))),
  ];

  const floor = (value: number, what = 'NodeGetInfo') => ({ what, value });
  const ms = { row: 'cached', unit: 'ms' };
  return [
    { ...ms, what: 'a publish, median', value: publish.p50, floor: floor(nothing.p50), most: 1 },
    { ...ms, what: 'a publish, 99th percentile', value: publish.p99, floor: floor(nothing.p99), most: 3 },
    {
      ...ms,
      what: 'a publish with `pullPolicy: Always`, median',
      value: always.p50,
      floor: floor(head, 'HEAD of the manifest by a client in Node'),
      most: 2.5 + head,
    },
    ...[
      { where: `beside ${(3 * publishes).toLocaleString('en')} volumes`, took: crowded },
      { where: `of ${manyLayers.toLocaleString('en')} layers`, took: ofLayers },
    ].flatMap(({ where, took }) => [
      { ...ms, what: `a publish ${where}, median`, value: took.p50, floor: floor(nothing.p50), most: 1 },
      {
        ...ms,
        what: `a publish ${where}, 99th percentile`,
        value: took.p99,
        floor: floor(nothing.p99),
        most: 3,
      },
    ]),
    { ...ms, what: '30 publishes at once, all', value: atOnce, floor: floor(nothings, '30 NodeGetInfo') },
    { row: 'cached', what: 'mounts for each', value: mounts, unit: '', most: 1 },
    { row: 'cached', what: 'bytes read for each, of anything', value: read, unit: 'bytes', most: 65_536 },
  ];
}

function toPercentiles(times: readonly number[]): { readonly p50: number; readonly p99: number } {
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

/** The milliseconds of calls of csi.v1.Node, one after the other, at a client in Go. */
async function timeCalls(
  socket: string,
  method: string,
  requests: readonly unknown[],
): Promise<readonly number[]> {
  const child = spawn(toolPath('csitime'), [socket, method], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(requests.map(request => `${JSON.stringify(request)}\n`).join(''));
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (code !== 0) throw new Error(`csitime ${method} failed`);
  return output.trim().split('\n').map(Number);
}

/** Milliseconds of each call, one after the other. */
async function timeEach(count: number, call: () => Promise<unknown>): Promise<readonly number[]> {
  const times: number[] = [];
  for (let nth = 0; nth < count; nth++) times.push(await timeAtOnce([call]));
  return times;
}

/** Milliseconds until all calls have ended, which start at once. */
async function timeAtOnce(calls: readonly (() => Promise<unknown>)[]): Promise<number> {
  const start = performance.now();
  await Promise.all(calls.map(call => call()));
  return performance.now() - start;
}

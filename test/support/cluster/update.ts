import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { version } from '../../../src/util/version.ts';
import type { Cluster } from './cluster.ts';
import { driverNamespace, driverSet, repository } from './driver.ts';
import { probeDriver } from './driver-probe.ts';
import { artifact, pod } from './objects.ts';

/** The version of an image that is newer than the one of these sources, and has the same program. */
export const nextVersion: string = `${version}-next`;

/** The longest time without an answer while one driver takes over from another. */
const longestGapMs = 1000;

/**
 * Replaces the driver, and asserts that nobody notices: a pod reads its volume, pods start each second, the driver is
 * called ten times a second, and kubelet keeps it registered. `reference`: an artifact that is in the cache.
 */
export async function assertUnnoticed(
  context: TestContext,
  cluster: Cluster,
  reference: string,
  update: () => Promise<unknown>,
): Promise<void> {
  const script = 'while :; do cat /models/hello.txt > /dev/null || echo failed; echo read; sleep 0.1; done';
  const volumes = { models: artifact(reference) };
  await cluster.apply(pod('reader', { volumes, container: { command: ['sh', '-c', script] } }));
  await cluster.ready('reader');
  const drivers = ['get', 'pod', '-n', driverNamespace, '--output=name'];
  const before = await cluster.kubectl(...drivers);
  const registrations = readRegistrations(cluster).length;
  const probes = await probeDriver(cluster);
  const began = performance.now();
  const over = new AbortController();
  const eachSecond = startPods(over.signal, name => cluster.apply(pod(name, { volumes })));
  await update();
  await cluster.kubectl('-n', driverNamespace, 'rollout', 'status', driverSet, '--timeout=90s');
  const seconds = (performance.now() - began) / 1000;
  await sleep(2000); // what an old driver leaves behind would show now
  over.abort();
  const started = await eachSecond;
  const probed = await probes.stop();
  await cluster.ready(...started);

  context.diagnostic(`replaced in ${seconds.toFixed(1)} s, while ${started.length} pods were created`);
  assert.notEqual(await cluster.kubectl(...drivers), before);
  assert.ok(started.length >= 3, 'pods were created meanwhile');
  for (const [what, { calls, failures, longest }] of Object.entries(probed)) {
    const gap = `longest time between two answers of ${calls}: ${longest.ms.toFixed(0)} ms, of which ${longest.stalled.toFixed(0)} ms without a CPU or the disk`;
    context.diagnostic(`${what}: ${gap}; ${failures.length} calls failed`);
    assert.ok(longest.ms - longest.stalled < longestGapMs, `${what}: ${gap}`);
  }
  assert.deepEqual(probed.driver.failures, [], 'each call is answered');
  assert.deepEqual(
    readRegistrations(cluster).slice(registrations),
    [],
    'kubelet keeps the driver registered',
  );
  const told = await Promise.all(started.map(name => cluster.events(name)));
  assert.deepEqual(
    told.flat().filter(message => /not found in the list of registered/.test(message)),
    [],
  );
  const log = await cluster.kubectl('logs', 'reader');
  assert.doesNotMatch(log, /failed/);
  assert.ok(log.split('read').length > seconds, log);
  await cluster.remove('reader', ...started);
}

/** Creates a pod each second; returns their names. */
async function startPods(
  signal: AbortSignal,
  start: (name: string) => Promise<void>,
): Promise<readonly string[]> {
  const names: string[] = [];
  while (!signal.aborted) {
    const name = `second-${names.length}`;
    names.push(name);
    await Promise.all([start(name), sleep(1000)]);
  }
  return names;
}

/** What kubelet logged about registering the driver, and about forgetting it. */
function readRegistrations({ root }: Cluster): readonly string[] {
  const log = readFileSync(join(root, 'var/log/kubelet.log'), 'utf8');
  return log.split('\n').filter(line => /Register new plugin|DeRegisterPlugin request/.test(line));
}

/** Pushes the image of the driver once more, with another digest, as the next version. Returns the digest. */
export async function pushNextDriver({ run }: Cluster): Promise<string> {
  const text = await run('oras', ['manifest', 'fetch', '--plain-http', `${repository}:1`]);
  const annotations = { 'org.opencontainers.image.version': nextVersion };
  const next = JSON.stringify({ ...(JSON.parse(text) as object), annotations });
  await run('oras', ['manifest', 'push', '--plain-http', `${repository}:${nextVersion}`, '-'], next);
  return `sha256:${createHash('sha256').update(next).digest('hex')}`;
}

/** The image that the DaemonSet runs. */
export function driverImage({ kubectl }: Cluster): Promise<string> {
  const path = 'jsonpath={.spec.template.spec.containers[0].image}';
  return kubectl('-n', driverNamespace, 'get', driverSet, `--output=${path}`);
}

import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import type { Random } from '../support/os/random.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { makeFailingLayers } from './failing-layers.ts';

/** Concurrent publishes, each of another namespace. */
const parallel = 6;
/** After so many, the daemon has all the threads and files that it keeps. */
const warmUp = 12;

/** The result of a run of failures: gRPC codes with their counts. */
export type Failures = { readonly publishes: number; readonly codes: ReadonlyMap<string, number> };

/**
 * Publishes so many artifacts with a layer that fails; the callers of some abort at a random moment.
 *
 * @throws AssertionError if the daemon ends, mounts one of them, or has more threads or open files at the end than at
 *   the beginning.
 */
export async function endureFailures(
  program: string | undefined,
  publishes: number,
  random: Random,
  report: (soFar: Failures) => void,
): Promise<Failures> {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const options = { flags: { '--log-level': 'error' }, ...(program === undefined ? {} : { program }) };
  await using daemon = await startDaemon(node, options);
  const codes = new Map<string, number>();
  let ended = 0;

  const publish = async (tag: string, namespace: string): Promise<void> => {
    const { reference } = await registry.push('failing', tag, makeFailingLayers(random));
    const attributes = { reference, 'csi.storage.k8s.io/pod.namespace': namespace };
    const request = await publishRequest(node, attributes);
    const deadline = Date.now() + (random.next() < 0.2 ? 20 + random.next() * 200 : 60_000);
    const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request, { deadline }));
    assert.ok(expected.has(code), `${code} ${text}\n${daemon.output()}`);
    codes.set(code, (codes.get(code) ?? 0) + 1);
    // The pod is gone, and so is its work in progress.
    const [pod] = request.target_path.split('/volumes/');
    if (pod !== undefined) rmSync(pod, { recursive: true });
    if (++ended % 500 === 0) report({ publishes: ended, codes });
  };
  const publishAll = async (name: string, howMany: number): Promise<void> => {
    const numbers = Array(howMany).keys();
    const publishOn = async (_: unknown, namespace: number): Promise<void> => {
      for (const number of numbers) await publish(`${name}-${number}`, `n${namespace}`);
    };
    await Promise.all(Array.from({ length: parallel }, publishOn));
  };

  await publishAll('first', warmUp);
  await sleep(2_000); // unused threads end a little later
  const before = count(daemon);
  await publishAll('then', publishes);
  let after = count(daemon);
  for (let tries = 0; tries < 100 && !isWithin(after, before); tries++) {
    await sleep(100);
    after = count(daemon);
  }
  assert.ok(isWithin(after, before), `${JSON.stringify(before)} became ${JSON.stringify(after)}`);
  assert.equal(await daemon.end('SIGTERM'), 0, daemon.output());
  return { publishes: ended, codes };
}

/** The codes of a layer's own error, and of callers that aborted. */
const expected: ReadonlySet<string> = new Set([
  'FAILED_PRECONDITION',
  'DEADLINE_EXCEEDED',
  'ABORTED',
  'CANCELLED',
]);

type Count = { readonly threads: number; readonly files: number };

function count({ pid }: TestDaemon): Count {
  const of = (directory: string): number => readdirSync(join('/proc', String(pid), directory)).length;
  return { threads: of('task'), files: of('fd') };
}

function isWithin(one: Count, other: Count): boolean {
  return one.threads <= other.threads && one.files <= other.files;
}

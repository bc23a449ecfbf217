import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { main, sourceMain } from '../support/node/main.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** Milliseconds: the daemon gives memory back in the first quiet second, which a busy machine puts off. */
const timeoutMs = 40_000;
const mega = 1_000_000;

type Memory = { readonly resident: number; readonly anonymous: number };

/** Bytes of a process. `anonymous`: without the pages of its program, which it has in common with the page cache. */
function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
  return { resident: of('VmRSS'), anonymous: of('RssAnon') };
}

test('seconds after a pull the daemon uses no more memory than before', async t => {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const memory = (): Memory => memoryOf(daemon.pid);

  const publish = async (name: string, megabytes: number, files: number): Promise<void> => {
    const entries = Array.from({ length: files }, (_, at) => [{ name: `${at % 9}/${at}` }, `${at}`] as const);
    const { reference } = await registry.push(name, 'v1', [
      { name: 'file', bytes: Buffer.alloc(megabytes * mega, name) },
      { bytes: gzip(await tarOf(entries)), mediaType: 'application/vnd.acme.layer.v1.tar+gzip' },
    ]);
    await daemon.csi.NodePublishVolume(await publishRequest(node, { reference }), {
      deadline: Date.now() + 60_000,
    });
  };
  const settled = async (isSettled: (now: Memory) => boolean): Promise<Memory> => {
    const until = Date.now() + timeoutMs;
    while (!isSettled(memory()) && Date.now() < until) await sleep(100);
    return memory();
  };
  const isOwnBack = ({ anonymous }: Memory): boolean => anonymous - idle.anonymous < 10 * mega;

  await sleep(2_000);
  const idle = memory();
  await publish('first', 2, 50); // code of first use is loaded, and stays
  // Source takes more, because its types are stripped at the start.
  const isSmall = ({ resident }: Memory): boolean => main === sourceMain || resident < 75 * mega;
  const first = await settled(now => isOwnBack(now) && isSmall(now));
  await publish('second', 256, 3_000);
  const peak = memory();
  const isAllBack = ({ resident }: Memory): boolean => resident - first.resident < 10 * mega;
  const second = await settled(now => isOwnBack(now) && isAllBack(now));
  const seen = JSON.stringify({ idle, first, peak, second });
  t.diagnostic(seen);
  assert.ok(isOwnBack(first) && isOwnBack(second) && isAllBack(second), seen);
  assert.ok(isSmall(first), seen);
});

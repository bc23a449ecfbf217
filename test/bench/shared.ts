import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { residentMemoryOf, untilRest } from './cost.ts';
import type { Figure } from './report.ts';

/** Counts what sharing saves: bytes on the disk and bytes from the registry, of artifacts of one size. */
export async function measureShared(program: string, artifactMegabytes: number): Promise<readonly Figure[]> {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const start = () => startDaemon(node, { program, flags: { '--log-level': 'info' } });
  const half = (name: string) => ({ name, bytes: randomBytes((artifactMegabytes / 2) * 1e6) });
  const kept = half('kept.bin');
  const sent = (): number => registry.sent('') / 1e6;

  await using first = await start();
  const publish = async (daemon: typeof first, reference: string): Promise<void> => {
    await daemon.csi.NodePublishVolume(await publishRequest(node, { reference }), {
      deadline: Date.now() + 300_000,
    });
  };
  const one = await registry.push('bench/model', '1', [kept, half('changed.bin')]);
  for (let pod = 0; pod < 10; pod++) await publish(first, one.reference);
  const { stdout } = await promisify(execFile)('du', ['--summarize', '--block-size=1', node.stateDir]);
  const pods = { sent: sent(), disk: Number.parseInt(stdout, 10) / 1e6 };

  const two = await registry.push('bench/model', '2', [kept, half('changed.bin')]);
  await publish(first, two.reference);
  const version = { sent: sent() - pods.sent };

  const whole = { name: 'whole.bin', bytes: randomBytes(artifactMegabytes * 1e6) };
  const three = await registry.push('bench/killed', '1', [whole]);
  const before = sent();
  registry.fault(() => ({ kind: 'slow', bytesPerSecond: artifactMegabytes * 250_000 }));
  const interrupted = publish(first, three.reference).catch(() => undefined);
  while (sent() - before < artifactMegabytes / 2) await sleep(10);
  await first.end('SIGKILL');
  await interrupted;
  registry.fault(() => undefined);
  await using second = await start();
  await publish(second, three.reference);
  const killed = { sent: sent() - before };
  await sleep(3000);
  await untilRest([second.pid]);
  const row = 'shared';
  const size = `${artifactMegabytes} MB`;
  const most = artifactMegabytes * 1.05;
  return [
    { row, what: `ten pods with ${size}: downloaded`, value: pods.sent, unit: 'MB', most },
    { row, what: `ten pods with ${size}: on the disk`, value: pods.disk, unit: 'MB', most },
    {
      row,
      what: 'the next version, half of it changed: downloaded',
      value: version.sent,
      unit: 'MB',
      most: most / 2,
    },
    { row, what: `the daemon killed at half of ${size}: downloaded`, value: killed.sent, unit: 'MB', most },
    {
      row,
      what: 'memory three seconds after that',
      value: residentMemoryOf(second.pid),
      unit: 'MB',
      most: 150,
    },
  ];
}

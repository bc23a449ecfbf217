import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild } from '../support/node/child.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { cpuOf, residentMemoryOf, untilRest } from './cost.ts';
import type { Figure } from './report.ts';

/**
 * The start of a daemon that has nothing to do, and its memory at rest: after a publish, and after many volumes came and
 * went. The floor is Node with an empty program.
 */
export async function measureRest(program: string, volumes: number): Promise<readonly Figure[]> {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const { reference } = await registry.push('bench/rest', '1', [{ name: 'a', bytes: Buffer.from('a') }]);
  await mkdir(join(node.kubeletDir, 'plugins_registry'));
  await using bare = await startChild(process.execPath, ['--eval', 'setInterval(() => {}, 1e9)']);
  const start = performance.now();
  await using daemon = await startDaemon(node, {
    program,
    flags: { '--log-level': 'info', '--register': 'true' },
  });
  const ready = performance.now() - start;
  const cpu = cpuOf(daemon.pid);
  await daemon.csi.NodePublishVolume(await publishRequest(node, { reference }));
  const restingMemory = async (): Promise<number> => {
    await sleep(3000);
    await untilRest([daemon.pid, bare.pid]);
    return residentMemoryOf(daemon.pid);
  };
  const idle = await restingMemory();
  for (let nth = 0; nth < volumes; nth++) {
    const request = await publishRequest(node, { reference });
    await daemon.csi.NodePublishVolume(request);
    await daemon.csi.NodeUnpublishVolume(request);
  }
  const nothing = (value: number) => ({ what: 'Node with an empty program', value });
  return [
    { row: 'start', what: 'until it is ready', value: ready / 1000, unit: 's' },
    { row: 'start', what: 'CPU time', value: cpu, unit: 's', floor: nothing(cpuOf(bare.pid)), most: 0.25 },
    {
      row: 'idle',
      what: 'memory after a publish and three seconds',
      value: idle,
      unit: 'MB',
      floor: nothing(residentMemoryOf(bare.pid)),
      most: 75,
    },
    {
      row: 'idle',
      what: `memory three seconds after ${volumes.toLocaleString('en')} more volumes came and went`,
      value: await restingMemory(),
      unit: 'MB',
      floor: { what: 'before them', value: idle },
      most: idle + 15,
    },
  ];
}

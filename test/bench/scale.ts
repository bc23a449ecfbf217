import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { fillCache } from '../support/node/crowded-cache.ts';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { cpuOf, residentMemoryOf, untilRest } from './cost.ts';
import type { Figure } from './report.ts';
import { percentile } from './standing.ts';

/** How often each is measured; the median counts. */
const turns = 5;

type Costs = Readonly<Record<string, Pick<Figure, 'value' | 'unit'>>>;

/** What a node with many volumes, each of an artifact of its own, and ten times as many blobs costs, beside a tenth. */
export async function measureScale(program: string, volumes: number): Promise<readonly Figure[]> {
  const [tenth, all] = [await measure(program, volumes / 10), await measure(program, volumes)];
  const describe = (count: number): string =>
    `${count.toLocaleString('en')} volumes and ${(10 * count).toLocaleString('en')} blobs`;
  return Object.entries(all).map(([what, cost]) => ({
    row: 'scale',
    what: `${describe(volumes)}: ${what}`,
    ...cost,
    floor: { what: describe(volumes / 10), value: tenth[what]?.value ?? 0 },
  }));
}

async function measure(program: string, volumes: number): Promise<Costs> {
  await using node = await testNode();
  await mkdir(join(node.kubeletDir, 'plugins_registry'));
  const start = () => startDaemon(node, { program, flags: { '--log-level': 'info', '--register': 'true' } });
  const filling = await start(); // makes the directories
  await filling.end('SIGTERM');
  fillCache(node.stateDir, node.kubeletDir, { artifacts: 2 * volumes, files: 4, volumes: 0 });
  {
    await using daemon = await start();
    for (let nth = 0; nth < volumes; nth++) {
      const reference = `registry.test/team/m${nth}:v1`;
      await daemon.csi.NodePublishVolume(await publishRequest(node, { reference }));
    }
    await daemon.end('SIGTERM');
  }
  assert.equal(mountsBelow(node.kubeletDir).length, volumes);

  const starts: { readonly ready: number; readonly cpu: number }[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const began = performance.now();
    await using daemon = await start();
    starts.push({ ready: (performance.now() - began) / 1000, cpu: cpuOf(daemon.pid) });
    await daemon.end('SIGTERM');
  }
  await using daemon = await start();
  const env = { ...process.env, CSI_ENDPOINT: `unix://${node.socket}` };
  const list = async (): Promise<void> => {
    const { stdout } = await promisify(execFile)(program, ['ls'], { env, maxBuffer: 1 << 26 });
    assert.equal(stdout.trim().split('\n').length, 1 + 2 * volumes);
  };
  const call = async (): Promise<void> => {
    await daemon.artifacts.List({});
  };
  const [ls, answer] = [await timesOf(list), await timesOf(call)];
  const metrics: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    await sleep(1100); // an answer is repeated for a second
    metrics.push(...(await timesOf(() => scrape(daemon, volumes), 1)));
  }
  await sleep(3000);
  await untilRest([daemon.pid]);
  const median = (values: readonly number[]): number => percentile(values, 0.5);
  return {
    'a restart, until it is ready': { value: median(starts.map(({ ready }) => ready)), unit: 's' },
    'a restart, CPU time': { value: median(starts.map(({ cpu }) => cpu)), unit: 's' },
    '`ls`': { value: median(ls) / 1000, unit: 's' },
    'the answer of the daemon to `ls`': { value: median(answer), unit: 'ms' },
    '/metrics': { value: median(metrics), unit: 'ms' },
    'memory three seconds after that': { value: residentMemoryOf(daemon.pid), unit: 'MB' },
  };
}

async function scrape({ http }: TestDaemon, volumes: number): Promise<void> {
  const text = await (await fetch(`${http}/metrics`)).text();
  assert.equal(text.match(/^oci_artifact_csi_volume_info\{/gm)?.length, volumes);
}

/** Milliseconds. */
async function timesOf(work: () => Promise<void>, count = turns): Promise<readonly number[]> {
  const times: number[] = [];
  for (let turn = 0; turn < count; turn++) {
    const began = performance.now();
    await work();
    times.push(performance.now() - began);
  }
  return times;
}

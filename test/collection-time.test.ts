import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { toSettings } from '../src/cli/command-line.ts';
import { type House, openHouse } from '../src/house.ts';
import { cpuTime } from './support/cpu-time.ts';
import { type Crowd, fillCache } from './support/crowded-cache.ts';
import { testNode } from './support/daemon.ts';

/** What work on a large cache costs, in time of the processor: how busy the machine is does not matter. */

const never = new AbortController().signal;
const unmeasured = { bytesPulled() {}, damageFound() {}, pullStarted() {}, pullEnded() {} };

/** Milliseconds for which nothing may keep the event loop from its next turn. */
const longestTurn = 50;

type Cost = { readonly cpu: number; readonly turn: number };

/** `turn`: of the main thread's time, the most between two turns of the event loop. */
async function costOf(work: () => Promise<unknown>): Promise<Cost> {
  const spent = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let turn = 0;
  let last = spent();
  const look = (): void => {
    const now = spent();
    turn = Math.max(turn, now - last);
    last = now;
  };
  const looking = setInterval(look, 1);
  const before = cpuTime();
  try {
    await work();
  } finally {
    clearInterval(looking);
  }
  look();
  return { cpu: cpuTime() - before, turn };
}

type Step = 'ls' | 'volumes' | 'status' | 'fsck of roots' | 'prune' | 'prune of nothing';

/** What each step costs in a cache, half of which is left when it was pruned. */
async function measure(crowd: Crowd): Promise<Readonly<Record<Step, Cost>>> {
  await using node = await testNode();
  const settings = toSettings(
    { stateDir: node.stateDir, kubeletDir: node.kubeletDir, cacheHigh: '100', cacheLow: '100' },
    {
      OCI_ARTIFACT_REGISTRIES_CONF: node.registriesConf,
      OCI_ARTIFACT_REGISTRIES_CONF_DIR: node.registriesConfDir,
    },
  );
  const open = (): Promise<House> => openHouse(settings, pino({ level: 'silent' }), unmeasured);
  await (await open()).close();
  fillCache(node.stateDir, node.kubeletDir, crowd);
  const house = await open();
  const { artifacts } = house;
  try {
    return {
      ls: await costOf(artifacts.list),
      volumes: await costOf(artifacts.volumes),
      status: await costOf(async () => [await house.cacheBytes(), await house.diskUsage()]),
      'fsck of roots': await costOf(() => checkRoots(house)),
      prune: await costOf(async () => {
        const { artifacts: freed } = await artifacts.prune(never);
        assert.equal(freed, crowd.artifacts / 2);
      }),
      'prune of nothing': await costOf(async () => {
        assert.deepEqual(await artifacts.prune(never), { artifacts: 0, bytes: 0 });
      }),
    };
  } finally {
    await house.close();
  }
}

/** The part of fsck that reads no content; it comes first. */
async function checkRoots({ artifacts }: House): Promise<void> {
  const ending = new AbortController();
  const end = (): void => ending.abort(new Error('enough'));
  await assert.rejects(
    artifacts.fsck(false, () => assert.fail('nothing is missing'), ending.signal, end),
    /enough/,
  );
}

test('no step holds the main thread, and each costs as much as there is, with 10,000 blobs and 1,000 volumes', async () => {
  await measure({ artifacts: 50, files: 9, volumes: 50 }); // nothing is compiled later
  const few = await measure({ artifacts: 200, files: 9, volumes: 200 });
  const many = await measure({ artifacts: 1000, files: 9, volumes: 1000 });
  for (const [step, { cpu, turn }] of Object.entries(many)) {
    assert.ok(turn < longestTurn, `${step} held the main thread for ${turn.toFixed()} ms`);
    const before = few[step as Step].cpu;
    // There is five times as much; what is quadratic costs 25 times as much.
    assert.ok(
      cpu < 8 * Math.max(before, 10),
      `${step}: ${before.toFixed()} ms for a fifth of it, ${cpu.toFixed()} ms for all`,
    );
  }
  assert.ok(
    many['prune of nothing'].cpu < many.prune.cpu / 2,
    `${many['prune of nothing'].cpu.toFixed()} ms of ${many.prune.cpu.toFixed()} ms remove nothing`,
  );
});

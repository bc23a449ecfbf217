import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cost, costOf, longestTurn } from '../support/node/cost.ts';
import type { Crowd } from '../support/node/crowded-cache.ts';
import { checkRoots, openCrowdedNode } from '../support/node/crowded-node.ts';

const never = new AbortController().signal;
const steps = ['ls', 'volumes', 'status', 'fsck of roots', 'prune', 'prune of nothing'] as const;

type Costs = Readonly<Record<(typeof steps)[number], Cost>>;

/** What each step costs in a cache, half of which is left when it was pruned. */
async function measure(crowd: Crowd): Promise<Costs> {
  await using crowded = await openCrowdedNode(crowd);
  const { useCases } = crowded;
  const { artifacts } = useCases;
  return {
    ls: await costOf(artifacts.list),
    volumes: await costOf(artifacts.volumes),
    status: await costOf(async () => [await useCases.cacheBytes(), await useCases.diskUsage()]),
    'fsck of roots': await costOf(() => checkRoots(useCases)),
    prune: await costOf(async () => {
      const { artifacts: freed } = await artifacts.prune(never);
      assert.equal(freed, crowd.artifacts / 2);
    }),
    'prune of nothing': await costOf(async () => {
      assert.deepEqual(await artifacts.prune(never), { artifacts: 0, bytes: 0, items: [] });
    }),
  };
}

/** The least that each step cost in `rounds`: what else happened in the process is in one round, not in all. */
const least = (rounds: readonly Costs[]): Costs => {
  const entries = steps.map(step => {
    const costs = rounds.map(round => round[step]);
    const of = (what: keyof Cost): number => Math.min(...costs.map(cost => cost[what]));
    return [step, { cpu: of('cpu'), turn: of('turn') }] as const;
  });
  return Object.fromEntries(entries) as Costs;
};

/** What is wrong with the costs of `many`, which has five times as much as `few`. */
function complaints(few: Costs, many: Costs): readonly string[] {
  const ms = (value: number): string => `${value.toFixed()} ms`;
  const found = steps.flatMap(step => {
    const { cpu, turn } = many[step];
    const before = few[step].cpu;
    return [
      turn < longestTurn ? '' : `${step} held the main thread for ${ms(turn)}`,
      // What is quadratic costs 25 times as much.
      cpu < 12 * Math.max(before, 10) ? '' : `${step}: ${ms(before)} for a fifth, ${ms(cpu)} for all`,
    ];
  });
  const idle = many['prune of nothing'].cpu;
  const busy = many.prune.cpu;
  found.push(idle < busy / 2 ? '' : `${ms(idle)} of ${ms(busy)} remove nothing`);
  return found.filter(Boolean);
}

test('with 10,000 blobs and 1,000 volumes no step blocks the main thread, and costs are proportional', async () => {
  await measure({ artifacts: 50, files: 9, volumes: 50 }); // nothing is compiled later
  const few: Costs[] = [];
  const many: Costs[] = [];
  let found: readonly string[];
  do {
    few.push(await measure({ artifacts: 200, files: 9, volumes: 200 }));
    many.push(await measure({ artifacts: 1000, files: 9, volumes: 1000 }));
    found = complaints(least(few), least(many));
  } while (found.length > 0 && many.length < 4);
  assert.deepEqual(found, []);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costOf, longestTurn } from '../support/node/cost.ts';
import { checkRoots, openCrowdedNode } from '../support/node/crowded-node.ts';

const never = new AbortController().signal;

/** Milliseconds: of a check, and of one of the roots, which finds all documents in memory and so waits for less. */
async function measure(): Promise<number> {
  await using crowded = await openCrowdedNode({ artifacts: 1000, files: 9, volumes: 1000 });
  const whole = await costOf(async () => {
    const { checked } = await crowded.useCases.artifacts.fsck(
      false,
      ({ problem }) => assert.fail(problem),
      never,
    );
    assert.equal(checked, 11_000);
  });
  const roots = await costOf(() => checkRoots(crowded.useCases));
  return Math.max(whole.turn, roots.turn);
}

test('with 10,000 blobs and 1,000 volumes fsck blocks the main thread for a slice at most', async () => {
  const longest: number[] = [];
  do {
    longest.push(await measure());
    // What else happened in the process is in one round, not in all.
  } while (Math.min(...longest) >= longestTurn && longest.length < 3);
  assert.ok(Math.min(...longest) < longestTurn, `it held it for ${longest.join(', ')} ms`);
});

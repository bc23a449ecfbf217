import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PublishRequest } from '../../src/ports/request.ts';
import { costOf, longestTurn } from '../support/node/cost.ts';
import { openCrowdedNode } from '../support/node/crowded-node.ts';
import { publishRequest, type TestNode } from '../support/node/daemon.ts';

const never = new AbortController().signal;
const reference = 'registry.test/team/m0:v1';
/** The registry is not there: what else happened in the process is in one round, not in all. */
const rounds = 3;

async function requestOf(node: TestNode): Promise<PublishRequest> {
  const { volume_id: volumeId, target_path: targetPath } = await publishRequest(node, { reference });
  const selection = { unpack: 'auto', include: [], exclude: [] } as const;
  const pod = { namespace: 'default', name: 'pod', uid: volumeId };
  const volume = { volumeId, targetPath, anywhere: false, mountFlags: [], fingerprint: volumeId };
  return { ...volume, reference, selection, secrets: {}, caller: 'pod', pod };
}

for (const [atOnce, files] of [
  [5, 1_000],
  [1, 10_000],
] as const) {
  test(`${atOnce} concurrent publishes of an existing view of ${files} blobs do not block the main thread`, async t => {
    await using crowded = await openCrowdedNode({ artifacts: 1, files, volumes: 0 });
    const { node, useCases } = crowded;
    const publish = async (count: number): Promise<number> => {
      const requests = await Promise.all(Array.from({ length: count }, () => requestOf(node)));
      const { turn } = await costOf(() =>
        Promise.all(requests.map(request => useCases.publishing.publish(request, never))),
      );
      return turn;
    };
    await publish(1); // builds the view
    await publish(atOnce); // nothing is compiled later
    const turns: number[] = [];
    for (let round = 0; round < rounds; round++) turns.push(await publish(atOnce));
    const text = `${turns.map(turn => turn.toFixed()).join(', ')} ms`;
    t.diagnostic(text);
    assert.ok(Math.min(...turns) < longestTurn, text);
  });
}

test('the first publish of 10,000 blobs, and inspect, do not block the main thread', async t => {
  const longest: number[] = [];
  do {
    await using crowded = await openCrowdedNode({ artifacts: 1, files: 10_000, volumes: 0, unbuilt: true });
    const { node, useCases } = crowded;
    const request = await requestOf(node);
    const publish = await costOf(() => useCases.publishing.publish(request, never));
    const inspect = await costOf(() => useCases.artifacts.inspect(reference));
    longest.push(Math.max(publish.turn, inspect.turn));
  } while (Math.min(...longest) >= longestTurn && longest.length < rounds);
  const text = `${longest.map(turn => turn.toFixed()).join(', ')} ms`;
  t.diagnostic(text);
  assert.ok(Math.min(...longest) < longestTurn, text);
});

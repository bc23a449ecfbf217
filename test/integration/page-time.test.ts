import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { servePage } from '../../src/http/page/page-server.ts';
import { costOf, longestTurn } from '../support/node/cost.ts';
import { openCrowdedNode } from '../support/node/crowded-node.ts';

/** Rounds, of which the best counts: what else happens in the process is in one round, not in all. */
const rounds = 3;

function load(port: number, path: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let bytes = 0;
  connect(port, '127.0.0.1')
    .end(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    .on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    })
    .on('close', () => resolve(bytes))
    .on('error', reject);
  return promise;
}

test('the page of 1,000 volumes and 10,000 blobs leaves the main thread free', async t => {
  await using crowded = await openCrowdedNode({ artifacts: 2000, files: 4, volumes: 1000 });
  const { artifacts } = crowded.useCases;
  let turn = Infinity;
  for (let round = 0; round < rounds; round++) {
    await using server = await servePage(
      { host: '127.0.0.1', port: 0 },
      { nodeId: 'node-1', useCases: () => artifacts },
    );
    const paths = ['/', '/sections?volumes=10&artifacts=20', '/sections?search=m19'];
    const first = await costOf(async () => {
      const sizes = await Promise.all(paths.map(path => load(server.port, path)));
      for (const bytes of sizes) assert.ok(bytes > 10_000 && bytes < 300_000, `${bytes} bytes`);
    });
    const again = await costOf(() => load(server.port, '/sections'));
    turn = Math.min(turn, Math.max(first.turn, again.turn));
    t.diagnostic(
      `CPU ${first.cpu.toFixed()} ms, again ${again.cpu.toFixed()} ms; turns ${first.turn.toFixed()} and ${again.turn.toFixed()} ms`,
    );
  }
  assert.ok(turn < longestTurn, `${turn} ms`);
});

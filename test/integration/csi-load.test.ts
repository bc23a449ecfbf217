import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LoadResponse__Output } from '../../src/grpc/wire/ociartifact/v1/LoadResponse.ts';
import { ArtifactError } from '../../src/util/error.ts';
import { answerOf, digest, failureOf, reference, resolved, startEdge } from '../support/node/csi-edge.ts';

test('an archive arrives chunk by chunk, with the name of the first message', async () => {
  const seen: unknown[] = [];
  await using edge = await startEdge({
    artifacts: {
      load: async (tar, name) => {
        const bytes = Buffer.concat(await Array.fromAsync(tar));
        seen.push(name, bytes.toString());
        return [resolved];
      },
    },
  });
  const answer = await answerOf<LoadResponse__Output>(done => {
    const call = edge.artifacts.Load(done);
    call.write({ reference });
    for (const text of ['one ', 'two ', 'three']) call.write({ chunk: Buffer.from(text) });
    call.write({ last: true });
    call.end();
  });
  assert.deepEqual(seen, [reference, 'one two three']);
  assert.equal(answer.loaded[0]?.digest, digest);
});

test('an interrupted archive never looks complete, however its stream ends', async () => {
  const ends: string[] = [];
  await using edge = await startEdge({
    artifacts: {
      load: async tar => {
        try {
          for await (const _ of tar);
          ends.push('complete');
        } catch (error) {
          ends.push(error instanceof Error ? error.name : String(error));
          throw error;
        }
        return [];
      },
    },
  });
  for (let round = 0; round < 40; round++) {
    const { code } = await failureOf(done => {
      const call = edge.artifacts.Load(done);
      call.write({ chunk: Buffer.alloc(round * 1000) });
      setTimeout(() => call.cancel(), round % 8);
    });
    assert.equal(code, 'CANCELLED');
  }
  const { code, text } = await failureOf(done => {
    const call = edge.artifacts.Load(done);
    call.write({ chunk: Buffer.from('half') });
    call.end();
  });
  assert.equal(code, 'INVALID_ARGUMENT');
  assert.match(text, /^the archive broke off: .*; load it again$/);
  assert.ok(ends.length > 1);
  assert.equal(ends.includes('complete'), false);
});

test('an archive is refused during its stream with the reason, and so is a second name', async () => {
  await using edge = await startEdge({
    artifacts: {
      load: async (tar, name) => {
        if (name === undefined) throw new ArtifactError('invalid', 'not a tar');
        for await (const _ of tar);
        return [];
      },
    },
  });
  const early = await failureOf(done => {
    const call = edge.artifacts.Load(done);
    for (let chunk = 0; chunk < 64; chunk++) call.write({ chunk: Buffer.alloc(65_536) });
  });
  assert.deepEqual([early.code, early.text], ['INVALID_ARGUMENT', 'not a tar']);
  const second = await failureOf(done => {
    const call = edge.artifacts.Load(done);
    call.write({ reference });
    call.write({ reference });
  });
  assert.equal(second.code, 'INVALID_ARGUMENT');
  assert.match(second.text, /only the first message may name a reference; load one archive per call/);
});

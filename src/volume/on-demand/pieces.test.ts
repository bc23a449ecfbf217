import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDigest } from '../../oci/digest.ts';
import type { LateChunks } from '../../ports/late-views.ts';
import { createPieces } from './pieces.ts';

const digest = parseDigest(`sha256:${'0'.repeat(64)}`);

function chunks(shown: readonly number[], state: 'coming' | 'whole' | 'lied' = 'coming'): LateChunks {
  const of: Partial<LateChunks> = {
    count: 3,
    chunkSize: 10,
    at: offset => Math.floor(offset / 10),
    isShown: chunk => shown.includes(chunk),
    bytes: () => shown.reduce((sum, chunk) => sum + (chunk === 2 ? 5 : 10), 0),
    isWhole: () => state === 'whole',
    hasLied: () => state === 'lied',
  };
  return of as LateChunks;
}

function pieces(...layers: readonly (LateChunks | boolean)[]) {
  return createPieces({
    layers: layers.map(() => ({ digest, size: 25 })),
    isShown: layer => layers[layer] === true,
    chunksOf: layer => (typeof layers[layer] === 'object' ? layers[layer] : undefined),
  });
}

test('pieces are layers and chunks, in the order of layers', () => {
  const all = pieces(false, chunks([]), true, chunks([]));
  const at = Array.from({ length: 8 }, (_, number) => all.at(number));
  assert.deepEqual(
    at.map(({ layer, chunk }) => [layer, chunk]),
    [
      [0, 0],
      [1, 0],
      [1, 1],
      [1, 2],
      [2, 0],
      [3, 0],
      [3, 1],
      [3, 2],
    ],
  );
  assert.deepEqual(
    [all.with(0, { offset: 20, length: 5 }), all.with(3, { offset: 19, length: 2 })],
    [[0], [6, 7]],
  );
  assert.deepEqual([all.bytesOf(0), all.bytesOf(3)], [undefined, { offset: 20, length: 10 }]);
});

test('what is shown is here, but for the last chunk of a layer that is not verified, or whose list lied', () => {
  const [m, h] = ['missing', 'here'];
  const all = pieces(true, chunks([1]), chunks([0, 1, 2]), chunks([0, 1, 2], 'whole'), chunks([], 'lied'));
  assert.deepEqual(all.states(), [h, m, h, m, h, h, m, h, h, h, h, h, m]);
});

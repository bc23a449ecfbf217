import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { toDigest } from '../../oci/digest.ts';
import type { SharedImage } from '../../ports/sharing.ts';
import { openDrain } from '../edge/drain.ts';
import { imagesHandlers } from './images.ts';

const target = { mediaType: 'a/b', digest: toDigest('sha256', 'a'.repeat(64)), size: 1 };

test('other work goes on while many images are filtered', async () => {
  const images = Array.from(
    { length: 2_000 },
    (_, n): SharedImage => ({
      reference: `registry.example/team/model:${n}`,
      target: { ...target, annotations: {} },
      since: 0,
    }),
  );
  const sharing = { images: async () => images, image: async () => undefined };
  const edge = { log: pino({ enabled: false }), observe: () => {}, drain: openDrain() };
  const { List } = imagesHandlers(edge, sharing);
  const filters = [Array.from({ length: 500 }, () => 'name~=.').join(',')];
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  const call = {
    request: { filters },
    cancelled: false,
    getPath: () => '/List',
    getDeadline: () => Infinity,
    on() {},
  };
  const answer = await new Promise((resolve, reject) =>
    List(call as never, (error, response) => (error ? reject(error) : resolve(response))),
  );
  isOver = true;
  assert.equal((answer as { images: unknown[] }).images.length, images.length);
  assert.ok(turns > 20, `${turns} turns`);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../../util/error.ts';
import { createLoading, type LoadingLimits } from './loading.ts';

type Work = { readonly layer: number; heard(): void; end(error?: ArtifactError): void };

/** Layers whose works the test ends. */
function openWorks(count: number, limits: Partial<LoadingLimits> = {}, layerOf = (piece: number) => piece) {
  const works: Work[] = [];
  const failed: number[] = [];
  const loading = createLoading(
    Array.from({ length: count }, () => 'missing' as const),
    {
      bring: (layer, heard, signal) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
          works.push({ layer, heard, end: error => (error === undefined ? resolve() : reject(error)) });
        }),
      failed: layer => void failed.push(layer),
      layerOf,
    },
    { lanes: 1, more: 1, retryMs: 60_000, silentMs: () => 60_000, ...limits },
  );
  const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
  return {
    loading,
    failed,
    started: () => works.map(({ layer }) => layer),
    heard: (layer: number) => works.findLast(work => work.layer === layer)?.heard(),
    kinds: () => [...loading.states()],
    async end(layer: number, error?: ArtifactError) {
      works.findLast(work => work.layer === layer)?.end(error);
      await settle();
    },
  };
}

const refused = new ArtifactError('unauthenticated', 'the registry refuses');
const never = new AbortController().signal;

test('a layer that a read waits for starts beside the others, and what follows it comes next', async () => {
  const { loading, started, end } = openWorks(5);
  const ended = loading.run(never);
  assert.deepEqual(started(), [0]);
  loading.ask(2);
  assert.deepEqual(started(), [0, 2]);
  loading.ask(4); // both lanes are taken
  assert.deepEqual(started(), [0, 2]);
  await end(0);
  assert.deepEqual(started(), [0, 2, 4]);
  await end(4);
  assert.deepEqual(started(), [0, 2, 4]);
  await end(2);
  for (const layer of [1, 3]) await end(layer);
  await ended;
  assert.deepEqual(started(), [0, 2, 4, 1, 3]);
});

test('a failure ends nothing: the layer is tried again at a read, and at a retry', async () => {
  const { loading, started, end, failed, kinds } = openWorks(2);
  const ended = loading.run(never);
  await end(0, refused);
  assert.deepEqual([kinds(), failed], [['failing', 'coming'], [0]]);
  await end(1);
  loading.ask(0);
  assert.deepEqual(started(), [0, 1, 0]);
  await end(0, refused);
  loading.retry();
  assert.deepEqual(started(), [0, 1, 0, 0]);
  await end(0);
  await ended;
  assert.deepEqual(kinds(), ['here', 'here']);
});

test('a layer that failed is tried again from time to time', async () => {
  const { loading, started, end, kinds } = openWorks(1, { retryMs: 20 });
  const ended = loading.run(never);
  await end(0, refused);
  while (started().length < 2) await new Promise(resolve => setTimeout(resolve, 5));
  await end(0);
  await ended;
  assert.deepEqual(kinds(), ['here']);
});

test('the problem of a layer stays while it is tried again, until bytes of it come', async () => {
  const { loading, heard, end, kinds } = openWorks(2);
  const ended = loading.run(never);
  await end(0, refused);
  loading.retry();
  assert.equal(loading.problem(), refused);
  await end(1);
  assert.deepEqual([kinds(), loading.problem()], [['coming', 'here'], refused]);
  heard(0);
  assert.equal(loading.problem(), undefined);
  await end(0, refused);
  loading.ask(0);
  await end(0);
  await ended;
  assert.equal(loading.problem(), undefined);
});

test('a read starts a silent download again, before all others, and no other one', async () => {
  const { loading, started, heard, end, failed } = openWorks(3, { more: 0, silentMs: () => 100 });
  const ended = loading.run(never);
  loading.ask(0); // it has just begun
  await new Promise(resolve => setTimeout(resolve, 150));
  heard(0);
  loading.ask(0);
  assert.deepEqual(started(), [0]);
  await new Promise(resolve => setTimeout(resolve, 150));
  loading.ask(0);
  await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual([started(), failed], [[0, 0], []]);
  for (const layer of [0, 1, 2]) await end(layer);
  await ended;
});

test('an abort ends it when its works have ended, and they count as missing', async () => {
  const { loading, kinds, failed } = openWorks(2);
  const controller = new AbortController();
  const ended = loading.run(controller.signal);
  controller.abort(refused);
  await assert.rejects(ended, refused);
  assert.deepEqual([kinds(), failed], [['missing', 'missing'], []]);
});

test('nothing is loaded where all is here', async () => {
  const bring = (): Promise<void> => Promise.reject(refused);
  await createLoading(
    ['here'],
    { bring, failed() {}, layerOf: () => 0 },
    { lanes: 1, more: 1, retryMs: 1, silentMs: () => 1 },
  ).run(never);
});

test('after a piece failed, others of its layer wait for the next try, unless a read asks for them', async () => {
  const { loading, started, end } = openWorks(6, {}, piece => Math.floor(piece / 3));
  const ended = loading.run(never);
  await end(0, refused);
  assert.deepEqual(started(), [0, 3]); // of the other layer
  loading.ask(2);
  assert.deepEqual(started(), [0, 3, 2]);
  await end(2, refused);
  await end(3);
  assert.deepEqual(started(), [0, 3, 2, 4]);
  loading.retry();
  await end(4);
  await end(5);
  assert.deepEqual(started(), [0, 3, 2, 4, 5, 0]);
  for (const piece of [0, 1, 2]) await end(piece);
  await ended;
});

test('while a piece comes that a read jumped to, none begins that nobody asked for', async () => {
  const { loading, started, end } = openWorks(6, { lanes: 2, more: 1 });
  const ended = loading.run(never);
  loading.ask(1); // it comes already
  loading.ask(4);
  await end(0);
  assert.deepEqual(started(), [0, 1, 4]);
  loading.ask(2);
  assert.deepEqual(started(), [0, 1, 4, 2]);
  await end(1);
  await end(4);
  assert.deepEqual(started(), [0, 1, 4, 2]);
  await end(2);
  assert.deepEqual(started(), [0, 1, 4, 2, 3, 5]);
  for (const piece of [3, 5]) await end(piece);
  await ended;
});

test('a piece that a read jumped to and that brings nothing does not keep the others from coming', async () => {
  const { loading, started, heard, end } = openWorks(4, { lanes: 2 });
  const ended = loading.run(never);
  loading.ask(3);
  await end(0);
  await end(1);
  const begun = performance.now();
  while (performance.now() - begun < 1_200) {
    await new Promise(resolve => setTimeout(resolve, 100));
    heard(3);
  }
  assert.deepEqual(started(), [0, 1, 3]);
  while (started().length < 4) await new Promise(resolve => setTimeout(resolve, 20));
  assert.deepEqual(started(), [0, 1, 3, 2]);
  await end(2);
  await end(3);
  await ended;
});

test('what is held brings only what reads wait for, until it is released', async () => {
  const { loading, started, end, kinds } = openWorks(4, { lanes: 2 });
  const ended = loading.run(never);
  loading.ask(1); // it comes already
  loading.hold();
  await end(99);
  assert.deepEqual(kinds(), ['missing', 'coming', 'missing', 'missing']);
  loading.ask(3);
  await end(1);
  await end(3);
  assert.deepEqual(started(), [0, 1, 3]);
  loading.release();
  assert.deepEqual(started(), [0, 1, 3, 0, 2]);
  await end(0);
  await end(2);
  await ended;
});

test('what is held has no problem with what nobody asked for, and with a failed read until the next retry', async () => {
  const { loading, started, end } = openWorks(4, { lanes: 2 });
  const ending = new AbortController();
  const ended = loading.run(ending.signal);
  await end(0, refused);
  await end(1, refused);
  loading.ask(1); // it is tried again
  assert.deepEqual(started(), [0, 1, 2, 3, 1]);
  assert.equal(loading.problem(), refused);
  loading.hold();
  await end(99);
  assert.deepEqual([loading.problem(), loading.isIdle()], [refused, false]);
  await end(1);
  assert.deepEqual([loading.problem(), loading.isIdle()], [undefined, true]);
  loading.ask(2);
  await end(2, refused);
  assert.equal(loading.problem(), refused);
  loading.retry();
  assert.equal(loading.problem(), undefined);
  ending.abort(new ArtifactError('cancelled', 'the test ends'));
  await assert.rejects(ended, /the test ends/);
});

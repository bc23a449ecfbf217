import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../../test/support/node/samples.ts';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Progress } from '../../ports/usecases.ts';
import { createOriginTally, createProgressTracker, createRate, withRetries } from './progress.ts';

const planOf = (name: string): LayerPlan => ({
  descriptor: describeBlob(Buffer.from(name.padEnd(100))),
  label: name,
  name,
  form: 'file',
});
const [own, strange, held] = [planOf('own'), planOf('strange'), planOf('held')];

test('what is here of a layer is not told of before it may be, and counts for the disk all the same', () => {
  const shown = new Set([own]);
  let last: Progress | undefined;
  const tracker = createProgressTracker({
    plans: [own, strange, held],
    missing: [own, strange],
    here: layer => (layer === own ? 40 : 70),
    isShown: layer => shown.has(layer),
    report: progress => {
      last = progress;
    },
  });
  const reached = () => {
    tracker.tick();
    return [last?.bytes, last?.layers, last?.phase];
  };
  assert.equal(last?.totalBytes, 300);
  assert.deepEqual(reached(), [140, 1, 'download'], 'the held one, and a part of its own');
  assert.equal(tracker.remaining([own, strange]), 60 + 30);
  tracker.done(strange);
  assert.deepEqual(reached(), [140, 1, 'download'], 'that somebody else has brought it is not told of');
  assert.equal(tracker.remaining([own, strange]), 60);
  tracker.done(own);
  assert.deepEqual(reached(), [200, 2, 'download']);
  shown.add(strange);
  assert.deepEqual(reached(), [300, 3, 'unpack']);
});

test('a report names the layers under way that may be told of, by title or media type', () => {
  const titled = {
    ...own,
    descriptor: { ...own.descriptor, annotations: { 'org.opencontainers.image.title': 'w.bin' } },
  };
  let last: Progress | undefined;
  const tracker = createProgressTracker({
    plans: [titled, strange, held],
    missing: [titled, strange, held],
    here: layer => (layer === held ? 0 : 40),
    isShown: layer => layer !== strange,
    report: progress => {
      last = progress;
    },
  });
  assert.deepEqual(last?.current, [{ name: 'w.bin', bytes: 40, totalBytes: 100, bytesPerSecond: 0 }]);
  tracker.done(titled);
  tracker.tick();
  assert.equal(last?.current, undefined);
});

test('the rate is of what came, and not of what was here', async () => {
  let here = 90;
  let last: Progress | undefined;
  const tracker = createProgressTracker({
    plans: [own],
    missing: [own],
    here: () => here,
    isShown: () => true,
    report: progress => {
      last = progress;
    },
  });
  await new Promise(resolve => setTimeout(resolve, 20));
  tracker.tick();
  assert.equal(last?.bytesPerSecond, 0);
  here = 100;
  tracker.tick();
  const rate = last?.bytesPerSecond ?? 0;
  assert.ok(rate > 0 && rate <= 1000, `${rate} per second`);
});

const retry = { subject: 'r.example/a:1', reason: 'r.example answered 503', waitMs: 4_000 };

test('a pull that waits for its next try says so until that begins, and a pause of the registry goes first', () => {
  const told: (string | undefined)[] = [];
  let now = 0;
  const { report, tell } = withRetries(
    ({ phase, waits }) => told.push(`${phase}: ${waits}`),
    () => now,
  );
  tell({ ...retry, tries: { next: 2, most: 9 } });
  report(at('download', 3));
  report({ ...at('download', 3), waits: 'r.example asks to wait' });
  now = 4_000;
  report(at('download', 3));
  assert.deepEqual(told, [
    'resolve: retrying in 4 s (2 of 9): r.example answered 503',
    'download: retrying in 4 s (2 of 9): r.example answered 503',
    'download: r.example asks to wait',
    'download: undefined',
  ]);
});

test('a rate is the growth per second since the first value', () => {
  const rate = createRate(10_000);
  assert.equal(rate(500, 0), 0, 'what was there before has no speed');
  assert.equal(rate(600, 200), 500);
  assert.equal(rate(1500, 1000), 1000);
});

test('a rate ignores values older than its window', () => {
  const rate = createRate(10_000);
  for (let now = 0; now <= 60_000; now += 200) rate(now < 30_000 ? now * 1000 : 30_000_000, now);
  assert.equal(rate(30_000_000, 60_200), 0, 'nothing came for 30 seconds');
  assert.ok(rate(30_001_000, 60_400) > 90);
});

test('a value that restarts from less yields no negative rate', () => {
  const rate = createRate(10_000);
  rate(1000, 0);
  assert.equal(rate(10, 1000), 0);
});

const third = planOf('third');
const origins: readonly (readonly [
  name: string,
  steps: readonly (readonly ['found' | 'came', LayerPlan, number])[],
  expected: readonly number[],
])[] = [
  ['nothing was fetched', [], [0, 0, 300]],
  [
    'a whole layer came',
    [
      ['found', own, 0],
      ['came', own, 30],
      ['came', own, 70],
    ],
    [100, 0, 200],
  ],
  [
    'a download continued',
    [
      ['found', own, 40],
      ['came', own, 60],
    ],
    [60, 40, 200],
  ],
  [
    'a download continued after another pause of the same pull',
    [
      ['found', own, 40],
      ['came', own, 20],
      ['found', own, 60],
      ['came', own, 40],
    ],
    [60, 40, 200],
  ],
  [
    'a download started again, because its beginning was wrong or the server has no ranges',
    [
      ['found', own, 40],
      ['came', own, 10],
      ['came', own, 100],
    ],
    [100, 0, 200],
  ],
  ['a download was complete, and not stored', [['found', own, 100]], [0, 100, 200]],
  ['another pull brought a layer that this one waited for', [['found', own, 40]], [60, 40, 200]],
  ['a cached layer came again as the proof of access', [['came', held, 100]], [100, 0, 200]],
  [
    'two layers of different kinds',
    [
      ['found', own, 0],
      ['found', third, 90],
      ['came', third, 10],
      ['came', own, 100],
    ],
    [110, 90, 100],
  ],
];

for (const [name, steps, [pulled, resumed, cached]] of origins) {
  test(`where the bytes of layers came from: ${name}`, () => {
    const tally = createOriginTally();
    for (const [step, layer, bytes] of steps) tally[step](layer, bytes);
    const pulledLayers = new Set(steps.map(([, layer]) => layer)).size;
    assert.deepEqual(tally.origin([own, third, held]), {
      pulled,
      resumed,
      cached,
      pulledLayers,
      cachedLayers: 3 - pulledLayers,
    });
  });
}

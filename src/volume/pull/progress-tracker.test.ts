import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Progress } from '../../ports/usecases.ts';
import { createProgressTracker } from './progress-tracker.ts';

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
  assert.equal(tracker.remaining(), 60 + 30);
  tracker.done(strange);
  assert.deepEqual(reached(), [140, 1, 'download'], 'that somebody else has brought it is not told of');
  assert.equal(tracker.remaining(), 60);
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

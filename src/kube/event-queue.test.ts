import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EventOutcome, VolumeEvent } from '../ports/events.ts';
import { createEventQueue, type WaitingEvent } from './event-queue.ts';

const eventOf = (pod: number, namespace = 'shop'): VolumeEvent => ({
  pod: { namespace, name: `web-${pod}`, uid: `uid-${pod}` },
  targetPath: '/kubelet/pods/u/volumes/kubernetes.io~csi/model/mount',
  type: 'Normal',
  reason: 'Pulled',
  kind: '',
  message: `of ${pod}`,
});

type Step = { readonly kind: 'add'; readonly pod: number } | { readonly kind: 'take' | 'send' | 'fail' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), pod: fc.nat(8) }),
  fc.record({ kind: fc.constantFrom('take' as const, 'send' as const, 'fail' as const) }),
);

test('no event is lost uncounted, none waits twice, and the bound holds', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), steps => {
      const outcomes: EventOutcome[] = [];
      const queue = createEventQueue(4, outcome => outcomes.push(outcome));
      let added = 0;
      let sent = 0;
      let taken: WaitingEvent | undefined;
      for (const [now, { kind, ...more }] of steps.entries()) {
        if (kind === 'add' && 'pod' in more) {
          queue.add(eventOf(more.pod, more.pod % 3 === 0 ? 'other' : 'shop'), now);
          added++;
        }
        if (kind === 'take' && taken === undefined) taken = queue.take();
        if (kind === 'send' && taken !== undefined) {
          sent++;
          taken = undefined;
        }
        if (kind === 'fail' && taken !== undefined) {
          queue.giveBack(taken);
          taken = undefined;
        }
      }
      const left = Array.from({ length: 5 }, queue.take).filter(item => item !== undefined);
      assert.ok(left.length <= 4);
      assert.equal(new Set(left.map(({ name }) => name)).size, left.length);
      const waiting = left.length + (taken === undefined ? 0 : 1);
      assert.equal(added, sent + waiting + outcomes.length, 'each event was sent, waits, or is counted');
    }),
  );
});

test('a repetition of an event that could not be sent joins it, with the count, the beginning and the last message', () => {
  const queue = createEventQueue(4, () => {});
  queue.add(eventOf(1), 10);
  queue.add({ ...eventOf(1), message: 'second' }, 20);
  const item = queue.take() ?? assert.fail();
  queue.add({ ...eventOf(1), message: 'third' }, 30);
  queue.giveBack(item);
  const { firstAt, lastAt, times, event } = queue.take() ?? assert.fail();
  assert.deepEqual([firstAt, lastAt, times, event.message], [10, 30, 3, 'third']);
  assert.equal(queue.take(), undefined);
});

test('a namespace with very many events delays none of another one, and loses its own', () => {
  const dropped: EventOutcome[] = [];
  const queue = createEventQueue(4, outcome => dropped.push(outcome));
  for (let pod = 0; pod < 3; pod++) queue.add(eventOf(pod, 'evil'), pod);
  queue.add(eventOf(1, 'shop'), 10);
  for (let pod = 3; pod < 6; pod++) queue.add(eventOf(pod, 'evil'), pod);
  const left = Array.from({ length: 5 }, queue.take).map(
    item => item && item.event.message + item.event.pod.namespace,
  );
  assert.deepEqual(left, ['of 3evil', 'of 1shop', 'of 4evil', 'of 5evil', undefined]);
  assert.deepEqual(dropped, ['dropped', 'dropped', 'dropped']);
});

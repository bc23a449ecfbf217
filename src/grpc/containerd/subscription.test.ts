import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SharedEvent } from '../../ports/sharing.ts';
import { openSubscription } from './subscription.ts';

const event = (nth: number): SharedEvent => ({ at: 0, topic: '/images/create', reference: `r.io/a:${nth}` });

function openSource() {
  const followers = new Set<(event: SharedEvent) => void>();
  const follow = (tell: (event: SharedEvent) => void): Disposable => {
    followers.add(tell);
    return { [Symbol.dispose]: () => void followers.delete(tell) };
  };
  const emit = (nth: number): void => followers.forEach(tell => tell(event(nth)));
  return { followers, follow, emit };
}

test('events come in their order, those before the first read too', async () => {
  const source = openSource();
  const stop = new AbortController();
  using queue = openSubscription(source, 10);
  source.emit(1);
  source.emit(2);
  const events = queue.read(stop.signal);
  assert.deepEqual([(await events.next()).value, (await events.next()).value], [event(1), event(2)]);
  const third = events.next();
  source.emit(3);
  assert.deepEqual((await third).value, event(3));
  const fourth = events.next();
  stop.abort(new Error('over'));
  await assert.rejects(fourth, /over/);
});

test('a subscriber that does not read gets what waits, and then its end', async () => {
  const source = openSource();
  const queue = openSubscription(source, 2);
  for (const nth of [1, 2, 3, 4]) source.emit(nth);
  const events = queue.read(new AbortController().signal);
  assert.deepEqual([(await events.next()).value, (await events.next()).value], [event(1), event(2)]);
  await assert.rejects(events.next(), { code: 'exhausted' });
  queue[Symbol.dispose]();
  assert.equal(source.followers.size, 0);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Digest, toDigest } from '../../oci/digest.ts';
import type { SharedContent, SharedEvent, SharedImage } from '../../ports/sharing.ts';
import { createAnnouncer } from './announcer.ts';

const digestOf = (hex: string): Digest => toDigest('sha256', hex.repeat(64));
const [one, two] = [digestOf('1'), digestOf('2')] as const;

function imageOf(reference: string, digest: Digest): SharedImage {
  return { reference, target: { mediaType: '', digest, size: 1, annotations: {} }, since: 0 };
}

/** A world whose content a test changes. `until` waits for this number of events. */
function openWorld() {
  const closing = new AbortController();
  const world = { images: [] as SharedImage[], digests: [] as Digest[], isUnsettled: false };
  const announcer = createAnnouncer(
    {
      images: async () => world.images,
      async *contents() {
        for (const digest of world.digests)
          yield { digest, size: 7, since: 0, path: '', repositories: [] } satisfies SharedContent;
      },
    },
    () => world.isUnsettled,
    { restMs: 1, followedMs: 2 },
    closing.signal,
  );
  const follow = () => {
    const events: SharedEvent[] = [];
    let wake = (): void => {};
    const following = announcer.follow(event => {
      events.push(event);
      wake();
    });
    const until = async (count: number): Promise<readonly (readonly [string, string])[]> => {
      while (events.length < count) await new Promise<void>(resolve => (wake = resolve));
      return events.map(event => [event.topic, 'digest' in event ? event.digest : event.reference]);
    };
    return { until, [Symbol.dispose]: () => following[Symbol.dispose]() };
  };
  return { world, announcer, follow, [Symbol.dispose]: () => closing.abort() };
}

test('content is announced before the image that needs it, and goes after it', async () => {
  using opened = openWorld();
  using follower = opened.follow();
  Object.assign(opened.world, { images: [imageOf('r.io/a:1', one)], digests: [one, two] });
  opened.announcer.stir();
  assert.deepEqual(await follower.until(3), [
    ['/content/create', one],
    ['/content/create', two],
    ['/images/create', 'r.io/a:1'],
  ]);
  Object.assign(opened.world, { images: [imageOf('r.io/a:1', two)], digests: [two] });
  opened.announcer.stir();
  assert.deepEqual((await follower.until(5)).slice(3), [
    ['/images/update', 'r.io/a:1'],
    ['/content/delete', one],
  ]);
  Object.assign(opened.world, { images: [], digests: [] });
  opened.announcer.stir();
  assert.deepEqual((await follower.until(7)).slice(5), [
    ['/images/delete', 'r.io/a:1'],
    ['/content/delete', two],
  ]);
});

test('what changes without a word is announced to whoever follows', async () => {
  using opened = openWorld();
  using first = opened.follow();
  using second = opened.follow();
  opened.world.digests = [one];
  assert.deepEqual(await first.until(1), [['/content/create', one]]);
  assert.deepEqual(await second.until(1), [['/content/create', one]]);
});

test('without followers, what is not durable yet is compared until it is', async () => {
  using opened = openWorld();
  opened.world.isUnsettled = true;
  opened.announcer.stir();
  opened.world.digests = [one];
  using before = opened.follow();
  await before.until(1);
  before[Symbol.dispose]();
  // One that follows later is told of changes only.
  opened.world.digests = [one, two];
  using after = opened.follow();
  assert.deepEqual(await after.until(1), [['/content/create', two]]);
});

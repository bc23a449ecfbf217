import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LateView } from '../../ports/late-views.ts';
import type { Brief, VolumeRecord } from '../../ports/records.ts';
import type { View } from '../../ports/store.ts';
import { ArtifactError } from '../../util/error.ts';
import { createRevivals } from './revival.ts';

const never = new AbortController().signal;
const record = { view: 'key', targetPath: '/pods/p/mount', anywhere: false } as Brief<VolumeRecord>;
const view = { key: 'key', selection: { unpack: 'auto', include: [], exclude: [] } } as unknown as View;
const coming = {
  layers: [{ size: 7 }],
  isShown: () => false,
  reread: async () => {},
} as unknown as LateView;
const sound = async (): Promise<undefined> => undefined;
const unreadable = new ArtifactError('internal', 'EIO: i/o error, scandir');

/** Revivals of one late view. What differs from a view that comes is in `different`. */
function open(different: Partial<Parameters<typeof createRevivals>[0]>) {
  const warned: string[] = [];
  const revived: string[] = [];
  const revivals = createRevivals(
    {
      views: { find: async () => view },
      lateViews: { find: async () => coming, check: sound },
      integrity: { retire: async () => [] },
      pull: async () => {},
      waitingReads: () => 0,
      warn: text => void warned.push(text),
      ...different,
    },
    async key => void revived.push(key),
    never,
  );
  return { revivals, warned, revived };
}

const fail = async (): Promise<never> => {
  throw unreadable;
};

for (const [what, different] of [
  ['image', { views: { find: fail } }],
  ['record', { lateViews: { find: fail, check: fail } }],
  ['content', { pull: fail }],
] as const) {
  test(`a late view whose ${what} cannot be read fails, is logged once, and is tried again`, async () => {
    const { revivals, warned, revived } = open(different);
    for (const before of [undefined, unreadable.message]) {
      const reviving = revivals.revive(record, {});
      assert.equal(revivals.status('key')?.problem, before);
      await reviving;
      assert.equal(revivals.status('key')?.problem, unreadable.message);
    }
    assert.deepEqual(warned, [
      `the volume at /pods/p/mount, which is loaded on demand, is not continued: ${unreadable.message}`,
    ]);
    assert.deepEqual(revivals.list(), { stalled: ['key'], complete: [] });
    assert.deepEqual(revived, []);
  });
}

test('a late view that comes is continued once, however often that is asked for', async () => {
  let pulls = 0;
  const pulling = Promise.withResolvers<void>();
  const { revivals, revived } = open({ pull: () => (pulls++, pulling.promise) });
  const both = [revivals.revive(record, {}), revivals.revive(record, {})];
  pulling.resolve();
  await Promise.all(both);
  assert.deepEqual([pulls, revived], [1, ['key']]);
  assert.equal(revivals.status('key'), undefined);
});

test('a late view of which all is here is complete, and one that is gone is nothing', async () => {
  let rereads = 0;
  const reread = async (): Promise<void> => {
    if (rereads++ > 0) throw unreadable;
  };
  const whole = open({
    lateViews: { find: async () => ({ ...coming, isShown: () => true, reread }), check: sound },
  });
  const reviving = whole.revivals.revive(record, {});
  assert.deepEqual(whole.revivals.list(), { stalled: [], complete: [] }, 'nothing is known to be missing');
  assert.equal(whole.revivals.status('key'), undefined);
  await reviving;
  assert.deepEqual(whole.revivals.list(), { stalled: [], complete: ['key'] });
  assert.equal(whole.revivals.status('key')?.totalBytes, 7);
  await whole.revivals.revive(record, {});
  assert.deepEqual([rereads, whole.warned], [2, []], 'the kernel may have missed the first');
  const gone = open({ lateViews: { find: async () => undefined, check: sound } });
  await gone.revivals.revive(record, {});
  assert.equal(gone.revivals.status('key'), undefined);
});

test('a late view whose last volume ends while it is looked for stays forgotten', async () => {
  const { revivals, warned } = open({
    views: {
      find: async () => {
        revivals.forget('key');
        throw unreadable;
      },
    },
  });
  await revivals.revive(record, {});
  assert.equal(revivals.status('key'), undefined);
  assert.deepEqual(warned, []);
});

test('a late view whose image is damaged is taken out of use, and is nothing then', async () => {
  const retired: string[] = [];
  const { revivals, warned, revived } = open({
    lateViews: { find: () => assert.fail(), check: async () => 'its image has mode 666, not 600' },
    integrity: { retire: async ({ key }, problem) => (retired.push(`${key}: ${problem}`), []) },
  });
  await revivals.revive(record, {});
  assert.deepEqual(retired, ['key: its image has mode 666, not 600']);
  assert.equal(revivals.status('key'), undefined);
  assert.deepEqual([warned, revived], [[], []]);
});

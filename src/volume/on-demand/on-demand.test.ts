import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { LateCall } from './live-view.ts';
import { createOnDemand } from './on-demand.ts';

const never = new AbortController().signal;
const over = { [Symbol.dispose]() {} };

/** A late view `key` without large layers. `list`: how the records of its volumes are listed. */
function open(list: () => Promise<readonly { readonly view: string }[]>) {
  const ended: string[] = [];
  const late = { key: 'key', layers: [], isShown: () => true, chunksOf: () => undefined };
  const started = { late, view: {}, origin: {}, layers: [], reads: [], failure: () => undefined };
  const world = {
    starts: {
      start: async () => ({ ...started, end() {}, unmount: async () => void ended.push('key') }),
    },
    lateViews: { find: async () => late, keys: async () => ['key'], remove: async () => {} },
    landings: { open: async () => ({}), leave() {}, support: () => ({ kind: 'on' }) },
    images: { tidy() {} },
    volumes: { listBrief: list },
    viewBuilder: { prepare: async () => {} },
    leases: { hold: async () => over },
    warn: (text: string) => assert.fail(text),
    patienceMs: 60_000,
  };
  const options = { lingerMs: 0, checkMs: 1_000, hasLeft: async () => false };
  const onDemand = createOnDemand(world as never, options);
  const content: Partial<AdmittedContent> = { id: 'content', registry: 'r' };
  content.waitingBy = () => content as AdmittedContent;
  const call = {
    request: {},
    viewPlan: { key: 'view', reference: 'r', plan: { layers: [] }, held: new Set() },
    content,
    caller: { id: 'c', who: {}, tenant: 't', onReport() {} },
    record: async () => {},
  };
  const use = async () => (await onDemand.open(call as unknown as LateCall, never)) ?? assert.fail();
  return { onDemand, ended, use };
}

test('a view that a volume has begun to show while another one ended stays', async () => {
  let list: () => Promise<readonly { readonly view: string }[]> = async () => [];
  const { onDemand, ended, use } = open(() => list());
  (await use())[Symbol.dispose]();
  list = async () => {
    // The names of the records were read before this one was written.
    const other = await use();
    await sleep(1);
    other[Symbol.dispose]();
    return [];
  };
  await onDemand.ended('key');
  assert.deepEqual(ended, []);
  list = async () => [{ view: 'key' }];
  await onDemand.ended('key');
  assert.deepEqual(ended, []);
  list = async () => [];
  await onDemand.ended('key');
  assert.deepEqual(ended, ['key']);
  await onDemand.stop();
});

test('a view whose first volume is published while another one ends stays', async () => {
  const { onDemand, ended, use } = open(async () => []);
  const first = await use();
  await onDemand.ended('key');
  assert.deepEqual(ended, []);
  first[Symbol.dispose]();
  await onDemand.ended('key');
  assert.deepEqual(ended, ['key']);
  await onDemand.stop();
});

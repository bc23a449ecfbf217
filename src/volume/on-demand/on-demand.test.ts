import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { PullRequest } from '../../ports/request.ts';
import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { Errand } from '../pull/errand.ts';
import type { LateCall } from '../pull/late-call.ts';
import { createOnDemand } from './on-demand.ts';

const never = new AbortController().signal;
const large: LayerPlan = { descriptor: describeBlob(Buffer.alloc(30)), label: 'l', name: 'l', form: 'file' };
const silence = new ArtifactError('unavailable', 'nothing came for a read');
const over = { [Symbol.dispose]() {} };

/**
 * A late view `key` with large layers that never come, by default none. `list`: how the records of its volumes are
 * listed. `prepare`: builds the ordinary view. `tenants`: on whose behalf its first layer is loaded.
 */
function open(
  list: () => Promise<readonly object[]>,
  prepare = async () => {},
  layers: readonly LayerPlan[] = [],
) {
  const begun: string[] = [];
  const ended: string[] = [];
  const warned: string[] = [];
  const tenants: string[] = [];
  const reread: string[] = [];
  const late = {
    key: 'key',
    layers: layers.map(({ descriptor }) => descriptor),
    isShown: () => false,
    chunksOf: () => undefined,
    prepare: async () => {},
    reread: async () => void reread.push('key'),
  };
  const reads = layers.map(() => ({ waiting: () => 0, problem: () => silence }));
  let isBusy = false;
  let failure: string | undefined;
  const unmount = async (): Promise<void> => {
    if (isBusy) throw new ArtifactError('unavailable', 'the mount is busy');
    ended.push('key');
  };
  const started = { late, view: {}, origin: {}, layers, reads, failure: () => failure, end() {}, unmount };
  const world = {
    starts: {
      async start() {
        begun.push('key');
        return started;
      },
      continue: async () => started,
    },
    source: {
      isHeld: async () => false,
      progress: () => 0,
      bring(_layer: unknown, errand: Errand, signal: AbortSignal) {
        errand.tenants.each(tenant => tenants.push(tenant));
        return abortable(new Promise(() => {}), signal);
      },
    },
    views: { find: async () => ({}) },
    lateViews: { find: async () => late, keys: async () => ['key'], remove: async () => {} },
    landings: { open: async () => ({}), leave() {}, support: () => ({ kind: 'on' }) },
    images: { tidy() {} },
    volumes: { listBrief: list },
    viewBuilder: { prepare },
    leases: { hold: async () => over },
    warn: (text: string) => void warned.push(text),
    patienceMs: 60_000,
  };
  const options = { lingerMs: 0, checkMs: 1_000, hasLeft: async () => false };
  const onDemand = createOnDemand(world as never, options);
  const content: Partial<AdmittedContent> = {
    id: 'content',
    registry: 'r',
    knows: () => true,
    silenceMs: async () => 0,
  };
  content.waitingBy = () => content as AdmittedContent;
  const use = async (tenant = 't', request: Partial<PullRequest> = {}) => {
    const call = {
      request,
      viewPlan: { key: 'view', reference: 'r', plan: { layers }, held: new Set() },
      content,
      caller: { id: tenant, who: {}, tenant, onReport() {} },
      record: async () => {},
    };
    return (await onDemand.open(call as unknown as LateCall, never)) ?? assert.fail();
  };
  const keepBusy = (value: boolean): void => void (isBusy = value);
  const lose = (): void => void (failure = 'the daemon that answered has ended');
  return { onDemand, begun, ended, warned, tenants, reread, use, keepBusy, lose };
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

test('a view that ended and is still mounted is not shown by another pod', async () => {
  const { onDemand, begun, use, keepBusy } = open(async () => [], undefined, [large]);
  (await use())[Symbol.dispose]();
  (await use())[Symbol.dispose]();
  assert.equal(begun.length, 1);
  keepBusy(true);
  await assert.rejects(onDemand.ended('key'), /the mount is busy/);
  (await use())[Symbol.dispose]();
  assert.equal(begun.length, 2);
  await onDemand.stop();
});

test('a view that ended and is still mounted is no pull, and is not counted', async () => {
  const { onDemand, ended, use, keepBusy } = open(async () => [], undefined, [large]);
  (await use())[Symbol.dispose]();
  assert.equal(onDemand.list().length, 1);
  keepBusy(true);
  await assert.rejects(onDemand.ended('key'), /the mount is busy/);
  assert.deepEqual(onDemand.list(), []);
  const { loading, stalled, complete, missingBytes } = onDemand.summary();
  assert.deepEqual([loading, stalled, complete, missingBytes], [0, 0, 0, 0]);
  keepBusy(false);
  await onDemand.ended('key');
  assert.deepEqual(ended, ['key']);
  await onDemand.stop();
});

test('a view whose pull was cancelled is stopped, which is no problem, until another pod shows it', async () => {
  const { onDemand, use } = open(async () => [], undefined, [large]);
  using _use = await use();
  assert.equal(onDemand.status('key')?.problem, silence.message);
  for (const flight of onDemand.list()) await flight.cancel(new ArtifactError('cancelled', 'by hand'));
  while (onDemand.status('key')?.problem !== undefined) await sleep(1); // the downloads end
  const { stopped, problem } = onDemand.status('key') ?? assert.fail();
  assert.deepEqual({ stopped, problem }, { stopped: true, problem: undefined });
  const { loading, stalled } = onDemand.summary();
  assert.deepEqual({ loading, stalled }, { loading: 1, stalled: 0 });
  (await use())[Symbol.dispose]();
  assert.equal(onDemand.status('key')?.stopped, undefined);
  await onDemand.stop();
});

test('a view of which all is here is no pull, although the view for later volumes is still built', async () => {
  const building = Promise.withResolvers<void>();
  const built = Promise.withResolvers<void>();
  const { onDemand, use } = open(
    async () => [],
    () => {
      building.resolve();
      return built.promise;
    },
  );
  using _use = await use();
  await building.promise;
  assert.deepEqual(onDemand.list(), []);
  built.resolve();
  await onDemand.stop();
});

test('a view of which all is here is complete, although the view for later volumes cannot be built', async () => {
  const { onDemand, warned, use } = open(
    async () => [],
    async () => {
      throw new ArtifactError('exhausted', 'there is no room');
    },
  );
  using _use = await use();
  while (warned.length === 0) await sleep(1);
  assert.deepEqual(warned, [
    'r, which is loaded on demand: all of it is on the node, and the view for later volumes could not be built: there is no room; it is tried again',
  ]);
  assert.equal(onDemand.status('key')?.problem, undefined);
  const { complete, stalled, loading } = onDemand.summary();
  assert.deepEqual({ complete, stalled, loading }, { complete: 1, stalled: 0, loading: 0 });
  await onDemand.stop();
});

test('a view that several volumes show is loaded on behalf of the tenants of all', async () => {
  const { onDemand, begun, tenants, use } = open(async () => [], undefined, [large]);
  await Promise.all([use('a'), use('b')]);
  while (tenants.length === 0) await sleep(1);
  await use('c');
  await use('d', { late: 'key' });
  assert.equal(begun.length, 1);
  assert.deepEqual(tenants, ['a', 'b', 'c', 'd']);
  await onDemand.stop();
});

test('a view of an earlier process is continued on behalf of the tenants of all of its volumes', async () => {
  const records = [
    { view: 'key', anywhere: false, pod: { namespace: 'a' } },
    { view: 'other', anywhere: false, pod: { namespace: 'b' } },
    { view: 'key', anywhere: true },
  ];
  const { onDemand, tenants, use } = open(async () => records, undefined, [large]);
  await use('namespace c', { late: 'key' });
  while (tenants.length === 0) await sleep(1);
  assert.deepEqual(tenants, ['namespace c', 'namespace a', 'administrator']);
  await onDemand.stop();
});

test('a kernel that can ask nobody for bytes of a view is made to read its map again, from time to time', async () => {
  const { onDemand, reread, use, lose } = open(async () => [{ view: 'key' }], undefined, [large]);
  using _use = await use();
  const tidy = async (): Promise<void> => {
    const ending = new AbortController();
    const running = onDemand.run(ending.signal);
    ending.abort();
    await running;
  };
  await tidy();
  assert.deepEqual(reread, [], 'it asks for what it has missed');
  lose();
  await tidy();
  await tidy();
  assert.deepEqual(reread, ['key', 'key']);
  await onDemand.stop();
  await tidy();
  assert.equal(reread.length, 2);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Landings } from '../../ports/landing.ts';
import type { LateList, LateView } from '../../ports/late-views.ts';
import { openTenants } from '../../util/fair-slots.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import { createLateStart, type Started } from './late-start.ts';
import type { LayerReads } from './reads.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const never = new AbortController().signal;
const over = { [Symbol.dispose]() {}, async [Symbol.asyncDispose]() {} };

function makeList(made: WeakRef<object>[]): LateList {
  const list = { digest: describeBlob(Buffer.of()).digest, chunkSize: 1024 ** 2, bytes: Buffer.alloc(1024) };
  made.push(new WeakRef(list));
  return list;
}

/**
 * Starts a view of one layer that has a list, and returns what holds the list weakly, and what was logged. `smallBytes`:
 * those of other files.
 */
async function start(
  smallBytes = 0,
): Promise<readonly [Started | undefined, WeakRef<object>, readonly string[]]> {
  const descriptor = { ...describeBlob(Buffer.alloc(10)), size: 2 * 1024 ** 2 };
  const layer: LayerPlan = { descriptor, label: 'l', name: 'l', form: 'file' };
  const made: WeakRef<object>[] = [];
  const late: Partial<LateView> = { key: 'key' };
  const world = {
    viewBuilder: {
      admitHeld: async () => ({ all: [layer], missing: [layer], unproven: [] }),
      fetch: async () => {},
      merge: async () => ({ tree: {}, record: { bytes: descriptor.size + smallBytes }, ...over }),
    },
    trees: { verifyNames: async () => {} },
    source: { progress: () => 0 },
    lateViews: { create: async () => ({ view: late, image: {} }), remove: async () => {} },
    views: { find: async () => ({}) },
    images: { keep: async () => over },
    room: { reserve: async () => over },
    leases: { hold: async () => over },
    lists: { fetch: async () => new Map([[descriptor.digest, makeList(made)]]) },
  };
  const warned: string[] = [];
  const { start: begin } = createLateStart({
    ...world,
    warn: (text: string) => warned.push(text),
  } as unknown as Parameters<typeof createLateStart>[0]);
  const plan: Partial<ViewPlan> = { key: 'key', plan: { kind: 'artifact', layers: [layer] }, reference: 'r' };
  const landings: Partial<Landings> = { add: () => ({ path: '/l', ...over }), failure: () => undefined };
  const options = {
    platform: undefined,
    landings: landings as Landings,
    openReads: () => over as unknown as LayerReads,
  };
  const content = { registry: 'r' } as AdmittedContent;
  const context = { report() {}, tenants: openTenants('a') };
  const started = await begin(plan as ViewPlan, content, context, options, never);
  return [started, made[0] ?? assert.fail('no list was fetched'), warned];
}

test('the list of chunks of a mounted view is on the disk, and not in memory', async () => {
  const [started, list] = await start();
  assert.notEqual(started, undefined);
  await setImmediate();
  collect();
  assert.ok(list.deref() === undefined);
  started?.end();
});

test('an artifact with too much beside its large files is loaded fully, and the log says why', async () => {
  const [started, , warned] = await start(1024 ** 3 + 1);
  assert.equal(started, undefined);
  const [why] = warned;
  assert.match(
    why ?? '',
    /^r is not loaded on demand, .*: 1\.0 GiB of small files and tars come before the mount, and at most 1\.0 GiB may$/,
  );
  assert.deepEqual((await start(1024 ** 3))[2], []);
});

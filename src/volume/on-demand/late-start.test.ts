import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { TriedLandings } from '../../ports/landing.ts';
import type { LateList, LateView } from '../../ports/late-views.ts';
import {
  blobAttributes,
  type DirectoryNode,
  type FileNode,
  measureTree,
  plainAttributes,
} from '../../tree/tree.ts';
import { openTenants } from '../../util/fair-slots.ts';
import { doAtOnce } from '../../util/pace.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
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

/** A directory with files of these sizes, each of another blob. */
function treeOf(files: readonly (readonly [digest: Digest, size: number])[]): DirectoryNode {
  const children = files.map(([digest, size]): readonly [string, FileNode] => {
    const source = { kind: 'blob', digest } as const;
    return [digest, { kind: 'file', source, body: 0, size, attributes: blobAttributes, layer: 'l' }];
  });
  return { kind: 'directory', children: new Map(children), attributes: plainAttributes, layer: 'l' };
}

type Start = {
  readonly started: Started | undefined;
  readonly list: WeakRef<object>;
  readonly warned: readonly string[];
  readonly reserved: readonly number[];
  readonly steps: readonly string[];
};

/**
 * Starts a view of one layer that has a list, and returns what holds the list weakly, what was logged, the bytes that
 * were reserved, and when the view was made and its lists were disposed of. `smallBytes`: those of another file.
 * `isShown`: whether the view shows the file of the layer.
 */
async function start(smallBytes = 0, isShown = true): Promise<Start> {
  const descriptor = { ...describeBlob(Buffer.alloc(10)), size: 2 * 1024 ** 2 };
  const layer: LayerPlan = { descriptor, label: 'l', name: 'l', form: 'file' };
  const made: WeakRef<object>[] = [];
  const late: Partial<LateView> = { key: 'key' };
  const small = describeBlob(Buffer.from('small'));
  const tree = treeOf([
    [small.digest, smallBytes],
    ...(isShown ? [[descriptor.digest, descriptor.size] as const] : []),
  ]);
  const { bytes } = doAtOnce(measureTree(tree));
  const reserved: number[] = [];
  const steps: string[] = [];
  const reserve = async (...[, , , remaining]: Parameters<DiskSpace['reserve']>) => {
    reserved.push(remaining());
    return over;
  };
  const world = {
    viewBuilder: {
      admitHeld: async () => ({ all: [layer], missing: [layer], unproven: [] }),
      fetch: async () => {},
      merge: async () => ({ tree, record: { bytes }, ...over }),
    },
    trees: { verifyNames: async () => {} },
    source: { progress: () => 0 },
    lateViews: {
      async create() {
        steps.push('made');
        return { view: late, image: {} };
      },
      remove: async () => {},
    },
    views: { find: async () => ({}) },
    images: { keep: async () => over },
    room: { reserve },
    leases: { hold: async () => over },
    lists: {
      fetch: async () => ({
        byLayer: new Map([[descriptor.digest, makeList(made)]]),
        [Symbol.dispose]: () => void steps.push('disposed'),
      }),
    },
  };
  const warned: string[] = [];
  const { start: begin } = createLateStart({
    ...world,
    warn: (text: string) => warned.push(text),
  } as unknown as Parameters<typeof createLateStart>[0]);
  const plan: Partial<ViewPlan> = { key: 'key', plan: { kind: 'artifact', layers: [layer] }, reference: 'r' };
  const landings: Partial<TriedLandings> = {
    add: () => ({ path: '/l', ...over }),
    failure: () => undefined,
    keepsMaps: true,
  };
  const options = {
    platform: undefined,
    landings: landings as TriedLandings,
    openReads: () => over as unknown as LayerReads,
  };
  const content = { registry: 'r' } as AdmittedContent;
  const context = { report() {}, tenants: openTenants('a') };
  const started = await begin(plan as ViewPlan, content, context, options, never);
  return { started, list: made[0] ?? assert.fail('no list was fetched'), warned, reserved, steps };
}

test('the list of chunks of a mounted view is on the disk, and not in memory', async () => {
  const { started, list } = await start();
  assert.notEqual(started, undefined);
  await setImmediate();
  collect();
  assert.ok(list.deref() === undefined);
  started?.end();
});

test('lists of chunks are disposed of when the view has written them, or is not made', async () => {
  assert.deepEqual((await start()).steps, ['made', 'disposed']);
  assert.deepEqual((await start(1024 ** 3 + 1)).steps, ['disposed']);
});

test('an artifact with too much beside its large files is loaded fully, and the log says why', async () => {
  const { started, warned } = await start(1024 ** 3 + 1);
  assert.equal(started, undefined);
  const [why] = warned;
  assert.match(
    why ?? '',
    /^r is not loaded on demand, .*: 1\.0 GiB of small files and tars are downloaded before the mount, and at most 1\.0 GiB may$/,
  );
  assert.deepEqual((await start(1024 ** 3)).warned, []);
});

test('large files that a volume does not show are none of what comes before the mount', async () => {
  const { warned, reserved } = await start(1024 ** 3 + 1, false);
  assert.match(warned[0] ?? '', /1\.0 GiB of small files and tars are downloaded before the mount/);
  assert.deepEqual(reserved, [2 * 1024 ** 2]);
  assert.deepEqual((await start(1000, false)).reserved, [2 * 1024 ** 2, 1000 + 2 * 4096]);
});

test('room is taken for whole blocks of small files', async () => {
  const [, small = 0] = (await start(1)).reserved;
  assert.equal(small, 1 + 2 * 4096); // the file and the root
});

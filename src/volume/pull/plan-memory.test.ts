import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { ociManifest, parseManifest } from '../../oci/manifest.ts';
import { doAtOnce } from '../../util/pace.ts';
import { createPlanMemory } from './plan-memory.ts';
import { type PlanParts, planView, type ViewPlan, viewKey } from './view-plan.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const never = new AbortController().signal;
const selection = { unpack: 'always', include: ['kept/**'], exclude: [] } as const;
const title = 'org.opencontainers.image.title';

/** The bytes of a manifest: layers of one byte, and one with its content in it. */
function write(names: readonly string[], annotations: Readonly<Record<string, string>> = {}): Buffer {
  const layers = names.map(name => ({
    ...describeBlob(randomBytes(1)),
    annotations: { [title]: name, ...annotations },
  }));
  const content = randomBytes(30);
  const embedded = {
    ...describeBlob(content),
    data: content.toString('base64'),
    annotations: { [title]: 'kept/e' },
  };
  const config = describeBlob(Buffer.from('{}'));
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers: [...layers, embedded] }),
  );
}

/** What a publish makes its plan from, parsed anew as at each publish of a manifest that is too large to remember. */
function partsOf(bytes: Buffer, reference = 'r.example/a:v1'): PlanParts {
  const descriptor: Descriptor = { ...describeBlob(bytes), mediaType: ociManifest };
  const manifest = doAtOnce(parseManifest(bytes, ociManifest, reference));
  assert.ok(manifest.kind === 'manifest');
  const { digest } = descriptor;
  const selected = { digest, manifest, documents: [{ kind: 'manifest', descriptor }] } as const;
  return { reference, selected, selection, key: viewKey(digest, selection) };
}

test('a remembered plan is that of planning again, with the content and the annotations of its manifest', async () => {
  const memory = createPlanMemory();
  const bytes = write(['kept/a', 'dropped/b', 'kept/c.tar', 'kept/deep/er'], { chunks: 'list' });
  const first = await memory.plan(partsOf(bytes), never);
  const parts = partsOf(bytes);
  const second = await memory.plan(parts, never);
  assert.deepEqual(second, first);
  assert.deepEqual(second, await planView(parts, never));
  assert.equal(second.plan.layers.length, 4);
  assert.equal(second.held, first.held, 'it was remembered');
  for (const { descriptor } of second.plan.layers)
    assert.ok(parts.selected.manifest.layers.includes(descriptor));
  assert.ok(second.plan.layers.at(-1)?.descriptor.data);
  const other = await memory.plan(partsOf(bytes, 'r.example/b:v1'), never);
  assert.match(other.plan.layers[0]?.label ?? '', /r\.example\/b:v1/);
});

test('a plan is not completed by a manifest that has not its layers', async () => {
  const memory = createPlanMemory();
  const parts = partsOf(write(['kept/a', 'kept/b']));
  await memory.plan(parts, never);
  const { manifest } = parts.selected;
  const fewer = { ...parts, selected: { ...parts.selected, manifest: { ...manifest, layers: [] } } };
  await assert.rejects(memory.plan(fewer, never), {
    code: 'internal',
    message: /and the manifest does not$/,
  });
});

const heap = (): number => {
  collect();
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
};

/** Plans views one after the other, and returns the bytes that stay. */
async function planMany(count: number, make: (nth: number) => PlanParts): Promise<number> {
  const memory = createPlanMemory();
  await memory.plan(make(0), never);
  const before = heap();
  let last: ViewPlan | undefined;
  for (let nth = 1; nth <= count; nth++) last = await memory.plan(make(nth), never);
  assert.ok((last?.contents.length ?? 0) > 0);
  last = undefined;
  const after = heap();
  await memory.plan(make(0), never); // until here the memory is used
  return after - before;
}

test('the annotations and the content of a manifest are not kept with its plan', async t => {
  const annotations = { a: 'x'.repeat(200_000) };
  const stays = await planMany(50, () => partsOf(write(['kept/a', 'b', 'c', 'd', 'e'], annotations)));
  t.diagnostic(`${Math.round(stays / 1024)} KiB stay of 50 MB`);
  assert.ok(stays < 2 * 1024 ** 2, `${stays} bytes stay`);
});

test('the memory of plans is bounded by their bytes, of whatever they are made', async t => {
  const long = 'n'.repeat(200);
  const names = Array.from({ length: 1_000 }, (_, nth) => `kept/${long}/${nth}`);
  const stays = await planMany(20, () => partsOf(write(names)));
  t.diagnostic(`${Math.round(stays / 1024)} KiB stay of 20 plans of 1,000 layers`);
  assert.ok(stays < 10 * 1024 ** 2, `${stays} bytes stay`);
});

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { chunksAnnotation, formatChunkList } from '../../oci/chunk-list.ts';
import { chunkListType, type LayerPlan } from '../../oci/plan.ts';
import { openTenants } from '../../util/fair-slots.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import { createChunkLists } from './chunk-lists.ts';

const never = new AbortController().signal;
const mebibyte = 2 ** 20;
const [few, many] = [10, 10_000];

/**
 * Opens lists of chunks, and returns what fetches that of another artifact with so many chunks, for another tenant and
 * from another registry each time. `begun`: how many lists were asked for. `noted`: why layers are loaded as a whole.
 */
function open() {
  const noted: string[] = [];
  const lists = createChunkLists('manifest', text => void noted.push(text));
  const counts = { begun: 0, tenants: 0 };
  const fetch = (chunks: number, signal = never) => {
    const blob = { ...describeBlob(randomBytes(32)), size: chunks * mebibyte };
    const bytes = formatChunkList({ chunkSize: mebibyte, blob, digests: Buffer.alloc(32 * chunks) });
    const list = { ...describeBlob(bytes), mediaType: chunkListType };
    const descriptor = { ...blob, annotations: { [chunksAnnotation]: list.digest } };
    const layer: LayerPlan = { descriptor, label: 'l', name: 'l', form: 'file' };
    const name = `${counts.tenants++}`;
    const content: Partial<AdmittedContent> = {
      registry: name,
      async fetchBlob(_list, _label, sink) {
        counts.begun++;
        await setImmediate();
        signal.throwIfAborted();
        sink.write(bytes);
        return {};
      },
      fetchPart: async () => ({}),
    };
    const plan = { reference: 'r', selected: { manifest: { layers: [descriptor, list] } } };
    const source = { content: content as AdmittedContent, tenants: openTenants(name) };
    return lists.fetch(plan as unknown as ViewPlan, [layer], source, signal);
  };
  return { fetch, counts, noted };
}

const eight = Array.from({ length: 8 }, () => many);

test('eight artifacts have large lists of chunks in memory, and others wait until one is disposed of', async () => {
  const { fetch, counts, noted } = open();
  const [first, ...others] = await Promise.all(eight.map(chunks => fetch(chunks)));
  const ninth = fetch(many);
  for (let turn = 0; turn < 10; turn++) await setImmediate();
  assert.equal(counts.begun, 8);
  first?.[Symbol.dispose]();
  using fetched = await ninth;
  for (const each of [fetched, ...others]) assert.equal(each.byLayer.size, 1);
  assert.deepEqual(noted, []);
});

test('artifacts with small lists of chunks do not wait for others', async () => {
  const { fetch } = open();
  await Promise.all(eight.map(chunks => fetch(chunks)));
  assert.equal((await fetch(few)).byLayer.size, 1);
});

test('a fetch of large lists of chunks that ends lets others fetch theirs', async () => {
  const { fetch } = open();
  const ending = new AbortController();
  const reason = new Error('enough');
  const failing = eight.map(chunks => assert.rejects(fetch(chunks, ending.signal), reason));
  ending.abort(reason);
  await Promise.all(failing);
  for (const { byLayer } of await Promise.all(eight.map(chunks => fetch(chunks))))
    assert.equal(byLayer.size, 1);
});

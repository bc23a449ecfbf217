import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, toDigest } from '../../src/oci/digest.ts';
import { openStore } from '../../src/store/store.ts';
import { unpackLayer } from '../../src/unpack/job.ts';
import { setXattrs } from '../../src/unpack/xattrs.ts';
import { ArtifactError } from '../../src/util/error.ts';
import { createTrees, type SettledLayer } from '../../src/volume/pull/trees.ts';
import { anyLimits } from '../support/oci/unpacking.ts';

/** Views of images whose layers are files: unpacked, merged and built as by the daemon, in a store of its own. */
export type Product = AsyncDisposable & {
  /** Calls back with the view's directory, which is removed afterwards; else returns why there is none. */
  show<T>(
    layers: readonly string[],
    look: (path: string) => Promise<T>,
  ): Promise<T | { readonly error: string }>;
};

const never = new AbortController().signal;

export async function openProduct(directory: string): Promise<Product> {
  const stateDir = join(directory, 'state');
  mkdirSync(stateDir);
  const store = await openStore({ stateDir });
  const trees = createTrees(store.layers, anyLimits.maxEntries);
  let images = 0;

  async function bring(source: string, nth: number): Promise<SettledLayer> {
    const bytes = readFileSync(source);
    const digest = toDigest('sha256', createHash('sha256').update(bytes).digest('hex'));
    if (!(await store.layers.has(digest))) {
      await using stage = await store.layers.stage(digest);
      await stage.commit(
        await unpackLayer(
          { source, digest, into: stage.path, form: 'bodies', limits: anyLimits },
          { setXattrs, grow: async () => {}, more: () => assert.fail() },
          never,
        ),
      );
    }
    const descriptor = {
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest,
      size: bytes.length,
      annotations: {},
    };
    return { form: 'unpacked', descriptor, label: `layer ${nth}`, name: '' };
  }

  async function build(
    layers: readonly SettledLayer[],
  ): Promise<{ readonly key: string; readonly path: string }> {
    const selection = { unpack: 'auto', include: [], exclude: [] } as const;
    const tree = await trees.merge({ kind: 'image', layers, stored: 'bodies' }, selection, () => {}, never);
    const key = `image-${images++}`;
    const digests = layers.map(layer => layer.descriptor.digest);
    const manifest = digests[0] as Digest;
    const record = { key, manifest, reference: key, blobs: [], layers: digests, bytes: 0, inodes: 0 };
    const { path } = await store.views.build(record, tree, never);
    return { key, path };
  }

  return {
    async show(sources, look) {
      const layers: SettledLayer[] = [];
      try {
        for (const [index, source] of sources.entries()) layers.push(await bring(source, index + 1));
        const { key, path } = await build(layers);
        const seen = await look(path);
        await store.views.remove(key);
        return seen;
      } catch (thrown) {
        if (thrown instanceof ArtifactError && thrown.code === 'unmountable')
          return { error: thrown.message };
        throw thrown;
      } finally {
        for (const { descriptor } of layers) await store.layers.remove(descriptor.digest);
      }
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

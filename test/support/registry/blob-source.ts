import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, beforeEach } from 'node:test';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { type FaultyRegistry, openFaultyRegistry } from './faulty-registry.ts';
import { anonymous, openFakeClock, openMemorySink, openTestClient } from './registry-client.ts';

/** `small` is received by the calling thread, `large` by a worker if it goes into a file. */
export type Size = 'small' | 'large';
export const lengths: Readonly<Record<Size, number>> = { small: 300_000, large: 5 * 1024 * 1024 };
export const sizes: readonly Size[] = ['small', 'large'];

/** A blob of each size in a registry, and in a second one as target of redirects. */
export type BlobSource = AsyncDisposable & {
  readonly registry: FaultyRegistry;
  readonly store: FaultyRegistry;
  readonly path: string;
  readonly bytes: Readonly<Record<Size, Uint8Array>>;
  readonly blobs: Readonly<Record<Size, Descriptor>>;
  /** The name of a blob in errors. */
  subject(size: Size): string;
  /** The Range headers of the requests to the registry. */
  ranges(): readonly (string | undefined)[];
  /** Pulls and compares; the sink and the clock are new unless given. */
  pull(size: Size, options?: PullOptions): Promise<Required<PullOptions>>;
};

type PullOptions = {
  readonly sink?: ReturnType<typeof openMemorySink>;
  readonly clock?: ReturnType<typeof openFakeClock>;
  readonly stallMs?: number;
};

/** One for all tests of a file, without faults and requests at the start of each. */
export async function shareBlobSource(): Promise<BlobSource> {
  const source = await openBlobSource();
  beforeEach(() => {
    source.registry.reset();
    source.store.reset();
  });
  after(() => source[Symbol.asyncDispose]());
  return source;
}

export async function openBlobSource(): Promise<BlobSource> {
  const registry = await openFaultyRegistry();
  const store = await openFaultyRegistry();
  const path = 'team/model';
  const bytes = { small: randomBytes(lengths.small), large: randomBytes(lengths.large) };
  const sources = sizes.map(size => ({ bytes: bytes[size] }));
  const [small, large] = (await registry.push(path, 'v1', sources)).layers;
  await store.push(path, 'v1', sources);
  assert.ok(small !== undefined && large !== undefined);
  const blobs = { small, large };
  return {
    registry,
    store,
    path,
    bytes,
    blobs,
    subject: size => `${registry.host}/${path}@${blobs[size].digest}`,
    ranges: () => registry.asked.map(({ headers }) => headers.range),
    async pull(size, { sink = openMemorySink(), clock = openFakeClock(), stallMs = 30_000 } = {}) {
      await using client = openTestClient({ clock, stallMs });
      const { signal } = new AbortController();
      await client.blob({ registry: registry.host, path }, blobs[size], sink, anonymous, signal);
      assert.equal(sink.offset, blobs[size].size);
      assert.equal(sink.digest(), blobs[size].digest);
      return { sink, clock, stallMs };
    },
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

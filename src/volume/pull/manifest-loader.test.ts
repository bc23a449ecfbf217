import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Descriptor } from '../../oci/descriptor.ts';
import { toDigest } from '../../oci/digest.ts';
import { ociManifest } from '../../oci/manifest.ts';
import { openTenants } from '../../util/fair-slots.ts';
import { createBandwidth } from './bandwidth.ts';
import { createManifestLoader, type Documents } from './manifest-loader.ts';

const { signal } = new AbortController();
const platform = { os: 'linux', architecture: 'amd64' };

/** A manifest of so many bytes, and its descriptor. */
function manifestOf(name: string, size: number): { descriptor: Descriptor; bytes: Buffer } {
  const none = { mediaType: 'a/b', digest: toDigest('sha256', hash('sha256', 'none')), size: 4 };
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, name, config: none, layers: [] }).padEnd(size),
  );
  const digest = toDigest('sha256', hash('sha256', bytes));
  return { bytes, descriptor: { mediaType: ociManifest, digest, size, annotations: {} } };
}

/** A node that has nothing, without a bound. */
const empty: Parameters<typeof createManifestLoader>[0] = {
  blobs: { size: async () => undefined, put: async () => undefined },
  reader: { bytes: async () => assert.fail('nothing is held'), path: () => assert.fail('nothing is read') },
  integrity: { examine: async () => undefined, distrust: () => undefined },
  bandwidth: undefined,
};

test('few documents of one registry come at once, for one tenant and for all, and those of another do not wait', async () => {
  const manifests = createManifestLoader(empty);
  const coming = new Map<string, number>();
  const open = Promise.withResolvers<void>();
  let most = 0;
  const select = async (name: string, registry: string, tenant: string): Promise<void> => {
    const { descriptor, bytes } = manifestOf(name, 1024);
    const content: Documents['content'] = {
      registry,
      shownBy: {},
      admit: async () => assert.fail('nothing is held'),
      note: () => undefined,
      save: async () => undefined,
      async fetchDocument() {
        coming.set(tenant, (coming.get(tenant) ?? 0) + 1);
        most = Math.max(most, sum());
        if (registry === 'slow.example') await open.promise;
        coming.set(tenant, (coming.get(tenant) ?? 0) - 1);
        return { bytes, servedBy: {} };
      },
    };
    const source = { content, tenants: openTenants(tenant), hold: async () => undefined };
    await manifests.select(descriptor, platform, 'r/x', source, signal);
  };
  const sum = (): number => [...coming.values()].reduce((all, count) => all + count, 0);
  const selectMany = (tenant: string): Promise<void>[] =>
    Array.from({ length: 40 }, (_, n) => select(`${tenant} ${n}`, 'slow.example', tenant));

  const stalled = selectMany('one');
  await setTimeout(20);
  assert.equal(sum(), 8);
  stalled.push(...selectMany('two'), ...selectMany('three'));
  await setTimeout(20);
  assert.equal(coming.get('one'), 8);
  assert.ok(sum() > 8 && sum() <= 16, `${sum()} at once`);
  await select('another', 'quick.example', 'one');
  open.resolve();
  await Promise.all(stalled);
  assert.ok(most <= 17, `${most} at once`);
});

test('few large documents come at once, and small ones and those of others do not wait for them', async () => {
  const manifests = createManifestLoader(empty);
  const coming = new Set<string>();
  const open = Promise.withResolvers<void>();
  const select = async (name: string, size: number, tenant: string, gate: Promise<void>): Promise<void> => {
    const { descriptor, bytes } = manifestOf(name, size);
    const content: Documents['content'] = {
      registry: `${tenant}.example`,
      shownBy: {},
      admit: async () => assert.fail('nothing is held'),
      note: () => undefined,
      save: async () => undefined,
      async fetchDocument() {
        coming.add(name);
        await gate;
        coming.delete(name);
        return { bytes, servedBy: {} };
      },
    };
    const source = { content, tenants: openTenants(tenant), hold: async () => undefined };
    await manifests.select(descriptor, platform, 'r/x', source, signal);
  };
  const mib = 1024 * 1024;
  const stalled = Array.from({ length: 16 }, (_, n) => select(`large${n}`, mib, 'hostile', open.promise));
  await setTimeout(20);
  assert.ok(coming.size > 0 && coming.size <= 4, `${coming.size} at once`);
  await select('small', 1024, 'hostile', Promise.resolve());
  await select('other', mib, 'another', Promise.resolve());
  open.resolve();
  await Promise.all(stalled);
  assert.equal(coming.size, 0);
});

test('cached content that is too large for a config is neither read nor downloaded as one', async () => {
  const digest = toDigest('sha256', hash('sha256', 'a cached layer'));
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 5 * 1024 * 1024 };
  const layers = [{ ...config, mediaType: 'application/vnd.oci.image.layer.v1.tar' }];
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers }));
  const manifest = toDigest('sha256', hash('sha256', bytes));
  const manifests = createManifestLoader({
    ...empty,
    blobs: { size: async of => (of === digest ? config.size : undefined), put: async () => undefined },
  });
  const content: Documents['content'] = {
    registry: 'r.example',
    shownBy: {},
    admit: async () => assert.fail('it is admitted'),
    note: () => undefined,
    save: async () => undefined,
    fetchDocument: async ({ descriptor }) =>
      descriptor.digest === manifest ? { bytes, servedBy: {} } : assert.fail('it is downloaded'),
  };
  const descriptor = { mediaType: ociManifest, digest: manifest, size: bytes.length, annotations: {} };
  const source = { content, tenants: openTenants('a'), hold: async () => undefined };
  await assert.rejects(manifests.select(descriptor, platform, 'r/x', source, signal), {
    code: 'unmountable',
    message: 'the config of r/x has 5242880 bytes; 4194304 are the most that is read',
  });
});

test('the documents of a prefetch have the time that the rate gives them, those of a pod do not wait', async () => {
  const bandwidth = createBandwidth(1_000_000, 'prefetch');
  const manifests = createManifestLoader({ ...empty, bandwidth });
  const select = async (name: string, tenant: string): Promise<void> => {
    const { descriptor, bytes } = manifestOf(name, 150_000);
    const content: Documents['content'] = {
      registry: 'r.example',
      shownBy: {},
      admit: async () => assert.fail('nothing is held'),
      note: () => undefined,
      save: async () => undefined,
      fetchDocument: async () => ({ bytes, servedBy: {} }),
    };
    const source = { content, tenants: openTenants(tenant), hold: async () => undefined };
    await manifests.select(descriptor, platform, 'r/x', source, signal);
  };
  const began = performance.now();
  await select('first', 'prefetch');
  const second = select('second', 'prefetch');
  await select('of a pod', 'namespace shop');
  assert.ok(performance.now() - began < 140, 'the pod waited');
  await second;
  assert.ok(performance.now() - began >= 140, 'the second came too early');
});

test('a config that is embedded in its manifest counts as shown by whoever answered what the reference names', async () => {
  const data = Buffer.from(JSON.stringify({ ...platform, rootfs: { type: 'layers', diff_ids: [] } }));
  const digest = toDigest('sha256', hash('sha256', data));
  const mediaType = 'application/vnd.oci.image.config.v1+json';
  const config = { mediaType, digest, size: data.length, data: data.toString('base64') };
  const layers = [{ ...config, mediaType: 'application/vnd.oci.image.layer.v1.tar' }];
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers }));
  const manifest = toDigest('sha256', hash('sha256', bytes));
  const shownBy = { isOpen: true };
  const noted = new Map<string, unknown>();
  const content: Documents['content'] = {
    registry: 'r.example',
    shownBy,
    admit: async () => assert.fail('nothing is held'),
    note: (digest, servedBy) => void noted.set(digest, servedBy),
    save: async () => undefined,
    fetchDocument: async () => ({ bytes, servedBy: { isOpen: false } }),
  };
  const descriptor = { mediaType: ociManifest, digest: manifest, size: bytes.length, annotations: {} };
  const source = { content, tenants: openTenants('a'), hold: async () => undefined };
  await createManifestLoader(empty).select(descriptor, platform, 'r/x', source, signal);
  assert.deepEqual(Object.fromEntries(noted), { [manifest]: { isOpen: false }, [digest]: shownBy });
});

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { openFaultyRegistry } from '../../test/support/registry/faulty-registry.ts';
import { alice, bearer, mallory } from '../../test/support/registry/guarded-registry.ts';
import {
  anonymous,
  keyringOf,
  openMemorySink,
  openTestClient,
} from '../../test/support/registry/registry-client.ts';
import type { Credential, Keyring } from '../oci/credential.ts';
import type { ServedBy } from '../ports/registry.ts';
import { createMemorySink } from '../volume/sinks/memory-sink.ts';
import type { RegistryOptions } from './client.ts';
import { toUpstream } from './config/route.ts';

/** What the client says of who may have what it got, and of who may not. */

const { signal } = new AbortController();
const path = 'team/model';
const layer = { name: 'model', bytes: randomBytes(100_000) };
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const open = stack.use(await openFaultyRegistry());
const guarded = stack.use(await openFaultyRegistry({ guard: bearer }));
const [pushed] = await Promise.all([open, guarded].map(registry => registry.push(path, 'v1', [layer])));
const blob = pushed?.layers[0];
assert.ok(pushed && blob);
const { manifest } = pushed;

const upstreamOf = ({ host }: { readonly host: string }) => toUpstream({ host, path, insecure: true });

/** Each way to get something of the repository, and who served it. */
const ways = (registry: string, keyring: Keyring, options: Partial<RegistryOptions> = {}) => {
  const client = openTestClient(options);
  const name = { registry, path, tag: 'v1' };
  const content = { kind: 'blob', descriptor: blob } as const;
  const range = { descriptor: blob, from: 10, to: 1000 };
  const served: Record<string, () => Promise<ServedBy | undefined>> = {
    resolve: async () => (await client.resolve(name, keyring, signal)).servedBy,
    manifest: async () => (await client.manifest(name, manifest, keyring, signal)).servedBy,
    has: () => client.has(name, content, keyring, signal),
    blob: () => client.blob(name, blob, openMemorySink(), keyring, signal),
    part: () => client.part(name, range, openMemorySink(), keyring, signal),
    async blobs() {
      let servedBy: ServedBy | undefined;
      const batch = {
        descriptors: [blob],
        open: createMemorySink,
        slot: async () => ({ [Symbol.dispose]() {} }),
        take: async ([first]: readonly { readonly servedBy: ServedBy }[]) =>
          void (servedBy = first?.servedBy),
      };
      await client.blobs(name, batch, keyring, signal);
      return servedBy;
    },
  };
  return { client, served, name };
};

const headed = { ...upstreamOf(open), headers: { 'x-team': 'ml' } };
const asNode = { route: () => ({ mirrors: [], last: headed }) };
for (const [who, registry, keyring, options, isOpen] of [
  ['anyone', open.host, anonymous, {}, true],
  ['a credential', guarded.host, keyringOf(alice), {}, false],
  ['a credential that nobody asked for', open.host, keyringOf(alice), {}, false],
  ['a header of the node', open.host, anonymous, asNode, false],
] as const) {
  test(`what was served to ${who} is ${isOpen ? '' : 'not '}open, whatever it is`, async () => {
    const { client, served } = ways(registry, keyring, options);
    await using _client = client;
    for (const [way, ask] of Object.entries(served)) assert.deepEqual(await ask(), { isOpen }, way);
  });
}

test('of a mirror and its registry, each has its own credential', async () => {
  const mirrorOf = guarded.host;
  const route = () => ({ mirrors: [{ ...upstreamOf(open), mirrorOf }], last: upstreamOf(guarded) });
  const find = async (endpoint: { readonly mirrorOf?: string }): Promise<Credential> =>
    endpoint.mirrorOf === undefined ? alice : anonymous.find({ host: '', path, insecure: true }, signal);
  const { client, served } = ways(guarded.host, { id: 'both', find }, { route });
  await using _client = client;
  assert.deepEqual(await served['blob']?.(), { mirrorOf, isOpen: true });
  open.fault(() => ({ kind: 'status', status: 404 }));
  assert.deepEqual(await served['blob']?.(), { isOpen: false });
  open.reset();
});

test('a refusal is told of if it is one to anyone, by the registry itself', async () => {
  const refused: string[] = [];
  const onRefused: RegistryOptions['onRefused'] = async reference => void refused.push(reference.path);
  const count = async (keyring: Keyring, options: Partial<RegistryOptions> = {}) => {
    const counts: Record<string, number> = {};
    const { client, served, name } = ways(guarded.host, keyring, { onRefused, ...options });
    await using _client = client;
    const lists = () => client.referrers(name, manifest.digest, 'a/b', keyring, signal);
    for (const [way, ask] of Object.entries({ ...served, lists })) {
      refused.length = 0;
      await ask().catch(() => {});
      counts[way] = refused.length;
    }
    return counts;
  };
  const all = { resolve: 1, manifest: 1, has: 1, blob: 1, part: 1, blobs: 1, lists: 0 };
  const none = Object.fromEntries(Object.keys(all).map(way => [way, 0]));
  assert.deepEqual(await count(anonymous), all);
  guarded.fault(() => ({ kind: 'status', status: 403 }));
  assert.deepEqual(await count(anonymous), all, 'by 403');
  for (const status of [404, 429, 500]) {
    guarded.fault(() => ({ kind: 'status', status }));
    assert.deepEqual(await count(anonymous), none, String(status));
  }
  guarded.guard(undefined);
  guarded.fault(() => ({ kind: 'redirect', to: 'http://169.254.169.254/latest' }));
  assert.deepEqual(await count(anonymous), none, 'a redirect that the driver refuses');
  guarded.guard(bearer);
  guarded.reset();
  assert.deepEqual(await count(keyringOf(mallory)), none, 'a wrong credential');
  const mirror = { ...upstreamOf(guarded), mirrorOf: open.host };
  const route = () => ({ mirrors: [mirror], last: upstreamOf(open) });
  assert.deepEqual(await count(anonymous, { route }), none, 'a mirror');
});

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { openFaultyRegistry } from '../../test/support/registry/faulty-registry.ts';
import { alice, bearer } from '../../test/support/registry/guarded-registry.ts';
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

/** What the client says of who may have what it got. */

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
  return { client, served };
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

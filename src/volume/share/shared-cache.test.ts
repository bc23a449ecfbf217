import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Digest, toDigest } from '../../oci/digest.ts';
import { formatRepository } from '../../oci/reference.ts';
import type { NameRecord } from '../../ports/records.ts';
import type { ShareRule } from '../../ports/sharing.ts';
import type { VerificationState } from '../../ports/store.ts';
import { createNameIndex } from './name-index.ts';
import { createSharedCache } from './shared-cache.ts';

const never = new AbortController().signal;
const digestOf = (hex: string): Digest => toDigest('sha256', hex.repeat(64));
const [manifest, layer, foreign] = [digestOf('1'), digestOf('2'), digestOf('3')] as const;

function nameOf(reference: string, holds: readonly Digest[], target = manifest): NameRecord {
  const descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: target,
    size: 10,
    annotations: {},
  };
  return { reference, descriptor, resolvedAt: 1000, authorised: 'anonymous', holds, usedAt: 0 };
}

/** A cache whose registries have shown `open` repositories and `shown` content to anyone. */
function openCache(
  names: readonly NameRecord[],
  facts: {
    readonly open?: readonly string[];
    readonly shown?: readonly Digest[];
    readonly held?: readonly Digest[];
    readonly pending?: readonly Digest[];
    readonly state?: VerificationState;
    readonly refused?: readonly string[];
  },
  rule: ShareRule = { isPublic: true, globs: [] },
) {
  const index = createNameIndex();
  for (const name of names) index.set(name.reference, name);
  const {
    open = [],
    shown = [],
    held = [manifest, layer, foreign],
    pending = [],
    state = 'verified',
  } = facts;
  const cache = createSharedCache(
    {
      index,
      blobs: {
        size: async digest => (held.includes(digest) ? 10 : undefined),
        path: digest => `/blobs/${digest}`,
      },
      evidence: { states: async items => items.map(() => state) },
      durability: { isPending: digest => pending.includes(digest) },
      access: {
        isOpen: repository => open.includes(formatRepository(repository)),
        isPublic: digest => shown.includes(digest),
      },
      signatures: {
        evaluate: async reference =>
          facts.refused?.includes(reference) === true
            ? { kind: 'refused', why: 'it is not signed' }
            : { kind: 'accepted', by: 'a test' },
      },
    },
    rule,
  );
  const see = async () => ({
    images: (await cache.images(never)).map(({ reference }) => reference),
    contents: (await Array.fromAsync(cache.contents(never))).map(({ digest }) => digest),
  });
  return { ...cache, index, see };
}

const nothing = { images: [], contents: [] };
const public1 = nameOf('r.io/open/a:1', [manifest, layer]);
const known = { open: ['r.io/open/a'], shown: [manifest, layer] };

test('an artifact that its registry serves to anyone is shown, with its repositories', async () => {
  const cache = openCache(
    [public1, nameOf('r.io/open/a:2', [manifest]), nameOf('docker.io/x/b:1', [layer], layer)],
    {
      ...known,
      open: ['r.io/open/a', 'docker.io/x/b'],
    },
  );
  assert.deepEqual(await cache.see(), {
    images: ['r.io/open/a:1', 'r.io/open/a:2', 'docker.io/x/b:1'],
    contents: [manifest, layer],
  });
  const content = await cache.content(layer, never);
  assert.deepEqual(content?.repositories.map(formatRepository), ['r.io/open/a', 'docker.io/x/b']);
  assert.deepEqual([content?.size, content?.path, content?.since], [10, `/blobs/${layer}`, 1000]);
  assert.equal((await cache.image('r.io/open/a:1'))?.target.digest, manifest);
  assert.equal(await cache.image('r.io/open/a:3'), undefined);
});

test('what no registry is known to serve to anyone is not shown', async () => {
  assert.deepEqual(await openCache([public1], {}).see(), nothing);
  assert.deepEqual(
    await openCache([public1], { shown: [manifest, layer] }).see(),
    nothing,
    'a private repository',
  );
  assert.deepEqual(
    await openCache([public1], { open: known.open, shown: [layer] }).see(),
    nothing,
    'of a mirror',
  );
  const none = { isPublic: false, globs: [] };
  assert.deepEqual(await openCache([public1], known, none).see(), nothing, '--share without public');
});

test('a public manifest does not open content that it only lists', async () => {
  const cache = openCache([nameOf('r.io/open/a:1', [manifest, layer, foreign])], known);
  assert.deepEqual((await cache.see()).contents, [manifest, layer]);
  assert.equal(await cache.content(foreign, never), undefined);
});

test('a glob shows a private artifact with all that it needs, and no other', async () => {
  const rule = { isPublic: false, globs: ['r.io/team/**'] };
  const names = [
    nameOf('r.io/team/a:1', [manifest, layer]),
    nameOf('r.io/teams/a:1', [foreign], foreign),
    nameOf(`r.io/team/b@${layer}`, [layer], layer),
  ];
  assert.deepEqual(await openCache(names, {}, rule).see(), {
    images: ['r.io/team/a:1', `r.io/team/b@${layer}`],
    contents: [manifest, layer],
  });
});

test('an artifact that the signature policy refuses is not shown, and what another one shares is', async () => {
  const names = [public1, nameOf('r.io/open/b:1', [layer], layer)];
  const refused = ['r.io/open/a:1'];
  const cache = openCache(names, { ...known, open: ['r.io/open/a', 'r.io/open/b'], refused });
  assert.deepEqual(await cache.see(), { images: ['r.io/open/b:1'], contents: [layer] });
});

test('only what is complete, durable and unchanged is shown', async () => {
  const withoutLayer = { images: ['r.io/open/a:1'], contents: [manifest] };
  assert.deepEqual(await openCache([public1], { ...known, held: [manifest] }).see(), withoutLayer);
  assert.deepEqual(await openCache([public1], { ...known, pending: [layer] }).see(), withoutLayer);
  assert.deepEqual(await openCache([public1], { ...known, pending: [manifest, layer] }).see(), nothing);
  for (const state of ['changed', 'unknown', 'absent'] as const)
    assert.deepEqual(await openCache([public1], { ...known, state }).see(), nothing, state);
  assert.equal((await openCache([public1], { ...known, state: 'stale' }).see()).images.length, 1);
});

test('a name that moves or goes takes what only it reached with it', async () => {
  const cache = openCache([public1], { ...known, shown: [manifest, layer, foreign] });
  cache.index.set(public1.reference, nameOf(public1.reference, [foreign], foreign));
  assert.deepEqual(await cache.see(), { images: [public1.reference], contents: [foreign] });
  cache.index.set(public1.reference, undefined);
  assert.deepEqual(await cache.see(), nothing);
  assert.deepEqual(cache.index.digests(), []);
});

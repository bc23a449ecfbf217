import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Credential, Keyring } from '../../oci/credential.ts';
import { toDigest } from '../../oci/digest.ts';
import { formatReference, type Reference } from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import { createResolver, type ResolveRequest, type Resolver } from './resolver.ts';
import type { TagSpread } from './tag-spread.ts';

const digest = toDigest('sha256', 'ab'.repeat(32));
const descriptor = { mediaType: '', digest, size: 2, annotations: {} };
const candidates = ['a.test', 'b.test', 'c.test'].map(registry => ({ registry, path: 'model', tag: 'v1' }));
const anonymous: Credential = { kind: 'anonymous', source: '', holder: { kind: 'anyone' } };
const keyring: Keyring = { id: '', find: async () => anonymous };
const wanted: ResolveRequest = { reference: 'model:v1', caller: 'pod' };
const never = new AbortController().signal;

type World = {
  readonly refused?: readonly string[];
  readonly serving?: readonly string[];
  readonly down?: readonly string[];
  readonly cached?: readonly string[];
  readonly expansion?: readonly Reference[];
  readonly spread?: TagSpread;
};

/** The short name `model` has candidates in three registries. `asked` lists caches and registries, in order. */
function createWorld({
  refused = [],
  serving = [],
  down = [],
  cached = [],
  expansion = candidates,
  spread,
}: World): {
  readonly resolver: Resolver;
  readonly evaluated: string[];
  readonly asked: string[];
} {
  const evaluated: string[] = [];
  const asked: string[] = [];
  const resolver = createResolver({
    expander: { expand: () => expansion },
    accessPolicy: {
      async verify(reference) {
        evaluated.push(formatReference(reference));
        if (refused.includes(reference.registry))
          throw new ArtifactError('denied', `refused: ${reference.registry}`);
      },
    },
    registry: {
      async resolve(reference: Reference) {
        asked.push(formatReference(reference));
        if (down.includes(reference.registry))
          throw new ArtifactError('unavailable', `down: ${reference.registry}`);
        if (serving.includes(reference.registry)) return { descriptor, credential: anonymous, servedBy: {} };
        throw new ArtifactError('not-found', `not in ${reference.registry}`);
      },
    },
    names: {
      async find(reference) {
        asked.push(`cache: ${reference}`);
        const held = cached.some(registry => reference.startsWith(registry));
        return held
          ? { reference, descriptor, resolvedAt: 0, authorised: 'anonymous', holds: [], usedAt: 0 }
          : undefined;
      },
    },
    blobs: { size: async () => descriptor.size },
    spread,
  });
  return { resolver, evaluated, asked };
}

test('a short name is looked for in one registry after the other', async () => {
  const { resolver, asked } = createWorld({ serving: ['b.test', 'c.test'] });
  const { reference } = await resolver.resolve(wanted, 'Always', keyring, never);
  assert.equal(formatReference(reference), 'b.test/model:v1');
  assert.deepEqual(asked, ['a.test/model:v1', 'b.test/model:v1']);
});

test('a registry that the policy refuses is not passed over for the next', async () => {
  for (const policy of ['Always', 'IfNotPresent', 'Never'] as const) {
    const { resolver, asked } = createWorld({
      refused: ['a.test'],
      serving: ['a.test', 'b.test'],
      cached: ['b.test'],
    });
    await assert.rejects(resolver.resolve(wanted, policy, keyring, never), {
      code: 'denied',
      message: 'refused: a.test',
    });
    assert.deepEqual(asked, []);
  }
});

test('a candidate before the refused one is used', async () => {
  const { resolver, asked } = createWorld({ refused: ['b.test'], serving: ['a.test'] });
  const { reference } = await resolver.resolve(wanted, 'IfNotPresent', keyring, never);
  assert.equal(reference.registry, 'a.test');
  assert.deepEqual(asked, ['cache: a.test/model:v1', 'a.test/model:v1']);
});

test('where those before the refused one do not have it, nobody after it is asked, in the cache or out of it', async () => {
  for (const policy of ['Always', 'IfNotPresent', 'Never'] as const) {
    const { resolver, asked, evaluated } = createWorld({
      refused: ['b.test'],
      serving: ['b.test', 'c.test'],
      cached: ['b.test', 'c.test'],
    });
    await assert.rejects(resolver.resolve(wanted, policy, keyring, never), {
      code: 'denied',
      message: /refused: b\.test$/,
    });
    assert.equal(
      asked.some(reference => /[bc]\.test/.test(reference)),
      false,
    );
    assert.deepEqual(evaluated, ['a.test/model:v1', 'b.test/model:v1']);
  }
});

test('where the one before the refused one is down, another try may help', async () => {
  const { resolver } = createWorld({ refused: ['b.test'], down: ['a.test'] });
  await assert.rejects(resolver.resolve(wanted, 'Always', keyring, never), {
    code: 'unavailable',
    message: /down: a\.test; refused: b\.test$/,
  });
});

test('a caller that leaves while it is evaluated gets its own reason, which is no refusal', async () => {
  const leaving = new AbortController();
  const { resolver, asked } = createWorld({ refused: ['b.test'], serving: ['a.test'] });
  leaving.abort(new Error('gone'));
  await assert.rejects(resolver.resolve(wanted, 'Always', keyring, leaving.signal), /^Error: gone$/);
  assert.deepEqual(asked, []);
});

test('a volume that was mounted before is evaluated by the tag it was found by, and gets the digest it had', async () => {
  const { resolver, evaluated } = createWorld({});
  const found = await resolver.resolve({ ...wanted, pinned: digest }, 'IfNotPresent', keyring, never);
  assert.deepEqual(evaluated, candidates.map(formatReference));
  assert.equal(formatReference(found.reference), 'a.test/model:v1');
  assert.equal(found.descriptor.digest, digest);
});

test('what is nowhere is told with what to check, and of a short name where it was looked for', async () => {
  const { resolver } = createWorld({ expansion: candidates.slice(0, 1) });
  const advice = 'not in a.test; check registry, repository and tag, and that it was pushed';
  await assert.rejects(
    resolver.resolve({ ...wanted, reference: 'a.test/model:v1' }, 'Always', keyring, never),
    {
      code: 'not-found',
      message: advice,
    },
  );
  await assert.rejects(resolver.resolve(wanted, 'Always', keyring, never), {
    code: 'not-found',
    message: `the short name model:v1 stands for what is not there: ${advice}`,
  });
});

test('a pod waits before its tag is asked for under Always; digests, other policies and commands do not', async () => {
  const waited: string[] = [];
  const spread: TagSpread = async tag => void waited.push(tag);
  const { resolver } = createWorld({ serving: ['b.test'], spread });
  await resolver.resolve(wanted, 'IfNotPresent', keyring, never);
  await resolver.resolve({ ...wanted, caller: 'administrator' }, 'Always', keyring, never);
  await resolver.resolve({ ...wanted, caller: 'prefetch' }, 'Always', keyring, never);
  await resolver.resolve({ ...wanted, pinned: digest }, 'Always', keyring, never);
  await resolver.ask(wanted, keyring, never);
  assert.deepEqual(waited, []);
  await resolver.resolve(wanted, 'Always', keyring, never);
  assert.deepEqual(waited, ['a.test/model:v1'], 'once, whichever registry has it');
});

test('a registry is not asked if the call ends while its pod waits', async () => {
  const { resolver, asked } = createWorld({
    serving: ['a.test'],
    spread: async () => Promise.reject(new Error('the deadline is near')),
  });
  await assert.rejects(resolver.resolve(wanted, 'Always', keyring, never), /deadline is near/);
  assert.deepEqual(asked, []);
});

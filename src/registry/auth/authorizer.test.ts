import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  alice,
  basic,
  bearer,
  countTokens,
  identity,
  mallory,
  openGuardedRegistry,
  resolveAs,
} from '../../../test/support/registry/guarded-registry.ts';
import {
  anonymous,
  nobody,
  openMemorySink,
  openTestClient,
} from '../../../test/support/registry/registry-client.ts';
import type { ArtifactError } from '../../util/error.ts';

const { signal } = new AbortController();

test('Basic is sent to a registry that asks for it, and from then on with the first request', async () => {
  await using registry = await openGuardedRegistry(basic);
  await using client = openTestClient();
  await resolveAs(alice, client, registry);
  await resolveAs(alice, client, registry);
  assert.deepEqual(
    registry.asked.map(({ headers }) => headers.authorization !== undefined),
    [false, true, true],
  );
});

test('a wrong password is unauthenticated, and the error names its source but not its value', async () => {
  await using registry = await openGuardedRegistry(basic);
  await using client = openTestClient();
  const url = `${registry.host}/team/model:v1`;
  await assert.rejects(resolveAs(mallory, client, registry), {
    code: 'unauthenticated',
    message: `${url}: the credential of --auth-file is not accepted: ${registry.host} answered 401 (UNAUTHORIZED: authentication required); correct or renew it`,
  });
  // One HEAD and one GET without it, whose body gives the reason.
  assert.equal(registry.asked.length, 3);
});

test('an anonymous caller is unauthenticated where Basic is required', async () => {
  await using registry = await openGuardedRegistry(basic);
  await using client = openTestClient();
  await assert.rejects(resolveAs(nobody, client, registry), {
    code: 'unauthenticated',
    message: `${registry.host}/team/model needs a credential (basic); asked as anonymous (no file); name a pull secret of the pod's namespace in volumes[].csi.nodePublishSecretRef, or give the node a credential (--auth-file, --credential-provider-config)`,
  });
});

test('a token is never used for another credential or another repository', async () => {
  await using registry = await openGuardedRegistry(bearer);
  await registry.push('team/other', 'v1', []);
  await using client = openTestClient();
  await resolveAs(alice, client, registry);
  await assert.rejects(resolveAs(mallory, client, registry), { code: 'unauthenticated' });
  await assert.rejects(resolveAs(nobody, client, registry), { code: 'unauthenticated' });
  await resolveAs(alice, client, registry, 'team/other');
  assert.equal(countTokens(registry), 4);
});

test('concurrent requests share one token request, and one that aborts does not cancel it', async () => {
  await using registry = await openGuardedRegistry({ kind: 'bearer' });
  await using client = openTestClient();
  const abort = new AbortController();
  const reference = { registry: registry.host, path: 'team/model', tag: 'v1' };
  registry.fault(({ path }) => {
    if (path.startsWith('/token')) abort.abort();
    return undefined;
  });
  const leaving = client.resolve(reference, anonymous, abort.signal);
  const staying = Array.from({ length: 20 }, () => resolveAs(nobody, client, registry));
  await assert.rejects(leaving, { code: 'cancelled' });
  await Promise.all(staying);
  assert.equal(countTokens(registry), 1);
});

test('an expired token is renewed once', async () => {
  await using registry = await openGuardedRegistry({ ...bearer, uses: 1 });
  await using client = openTestClient();
  await resolveAs(alice, client, registry);
  await resolveAs(alice, client, registry);
  assert.equal(countTokens(registry), 2);
});

test('a registry that refuses its own tokens is unauthenticated after one renewal for HEAD and one for GET', async () => {
  await using registry = await openGuardedRegistry({ ...bearer, accept: false });
  await using client = openTestClient();
  await assert.rejects(resolveAs(alice, client, registry), {
    code: 'unauthenticated',
    message:
      /team\/model:v1: the credential of nodePublishSecretRef is not accepted: .* answered 401 \(UNAUTHORIZED: authentication required\); correct or renew it$/,
  });
  assert.equal(countTokens(registry), 2);
});

test('an identity token is not used for Basic', async () => {
  await using registry = await openGuardedRegistry(basic);
  await using client = openTestClient();
  await assert.rejects(resolveAs(identity, client, registry), {
    code: 'unauthenticated',
    message:
      /needs a username and password \(basic\), and --auth-file has an identity token; give it a username and password$/,
  });
});

test('no secret appears in an error or its causes', async () => {
  for (const guard of [
    { kind: 'basic', username: 'x', password: 'y' },
    { ...bearer, password: 'y', refreshToken: 'y' },
  ] as const) {
    for (const credential of [alice, identity]) {
      for (const status of [undefined, 400, 403, 500]) {
        await using registry = await openGuardedRegistry(guard);
        if (status !== undefined)
          registry.fault(({ headers, method }) =>
            headers.authorization !== undefined || method === 'POST'
              ? { kind: 'status', status, message: 'no' }
              : undefined,
          );
        await using client = openTestClient();
        await assert.rejects(resolveAs(credential, client, registry), (thrown: ArtifactError) => {
          const secrets = ['pass:wörd', 'refresh-me', Buffer.from('alice:pass:wörd').toString('base64')];
          for (let error: unknown = thrown; error instanceof Error; error = error.cause) {
            const text = `${error.message} ${error.stack} ${JSON.stringify(error)}`;
            assert.ok(
              secrets.every(secret => !text.includes(secret)),
              text,
            );
          }
          return true;
        });
      }
    }
  }
});

test('a thousand small blobs of a private registry need one token', async () => {
  await using registry = await openGuardedRegistry({ kind: 'bearer', expiresIn: 300 });
  const { layers } = await registry.push(
    'team/many',
    'v1',
    Array.from({ length: 1000 }, (_, index) => ({ bytes: Buffer.from(`line ${index}\n`) })),
  );
  await using client = openTestClient();
  await resolveAs(nobody, client, registry, 'team/many');
  const left = [...layers];
  const workers = Array.from({ length: 6 }, async () => {
    for (let layer = left.pop(); layer !== undefined; layer = left.pop()) {
      const sink = openMemorySink();
      await client.blob({ registry: registry.host, path: 'team/many' }, layer, sink, anonymous, signal);
      assert.equal(sink.digest(), layer.digest);
    }
  });
  await Promise.all(workers);
  assert.equal(countTokens(registry), 1);
  assert.equal(registry.asked.length, 1000 + 3);
});

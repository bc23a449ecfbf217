import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { pod, podsOf } from '../../test/support/node/pods.ts';
import { tokensKey } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Caller, Keychain } from '../ports/registry.ts';
import type { Pod } from '../ports/request.ts';
import { ArtifactError } from '../util/error.ts';
import { openKeychain } from './keychain.ts';
import { openProviders } from './providers.ts';

const never = new AbortController().signal;
const endpoint: Endpoint = { host: 'r.io', path: 'ns/model', insecure: false };
const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('the id of a keyring', () => {
  const other: Pod = { ...pod, name: 'web-2', uid: 'u-2' };
  const tokens = (token: string): Record<string, string> => ({
    [tokensKey]: JSON.stringify({ a: { token } }),
  });
  const idOf = (keychain: Keychain, caller: Caller): string => keychain.open(caller).id;

  test('is equal for callers with the same credentials', () => {
    using keychain = openKeychain({ authFile: '/absent' });
    const one = idOf(keychain, { secrets: { username: 'u', password: 'p' }, pod });
    assert.equal(idOf(keychain, { secrets: { password: 'p', username: 'u' }, pod: other }), one);
    assert.notEqual(idOf(keychain, { secrets: { username: 'u', password: 'q' }, pod }), one);
    const ofToken = idOf(keychain, { secrets: tokens('1'), pod });
    assert.equal(idOf(keychain, { secrets: tokens('2'), pod: other }), ofToken, 'nobody wants the tokens');
  });

  test('differs between pods that have pull secrets, and between tokens that providers receive', () => {
    using withPods = openKeychain({ pods: podsOf() });
    assert.notEqual(idOf(withPods, { secrets: {}, pod }), idOf(withPods, { secrets: {}, pod: other }));
    using withProviders = openKeychain({
      providers: means => openProviders({ config: '/absent', directory: '/absent' }, means),
    });
    assert.equal(idOf(withProviders, { secrets: {}, pod }), idOf(withProviders, { secrets: {}, pod: other }));
    assert.notEqual(
      idOf(withProviders, { secrets: tokens('1'), pod }),
      idOf(withProviders, { secrets: tokens('2'), pod }),
    );
    assert.notEqual(
      idOf(withProviders, { secrets: tokens('1'), pod }),
      idOf(withProviders, { secrets: tokens('1'), pod: { ...pod, serviceAccount: 'other' } }),
    );
  });

  test('differs for a login that is not used, because its name may stand for several registries', () => {
    using keychain = openKeychain({});
    const at = (...registries: string[]) => registries.map(registry => ({ registry, path: 'm' }));
    const secrets = { username: 'u', password: 'p' };
    const one = idOf(keychain, { secrets });
    assert.equal(idOf(keychain, { secrets, candidates: at('a.io') }), one);
    assert.notEqual(idOf(keychain, { secrets, candidates: at('a.io', 'b.io') }), one);
    const none = idOf(keychain, { secrets: {} });
    assert.equal(idOf(keychain, { secrets: {}, candidates: at('a.io', 'b.io') }), none);
  });

  test('cannot be guessed from a secret: it differs between processes', () => {
    const secrets = { username: 'u', password: 'p' };
    using one = openKeychain({});
    using two = openKeychain({});
    assert.notEqual(idOf(one, { secrets }), idOf(two, { secrets }));
  });
});

test('no secret appears in an error, source, id or explanation, whatever pull secrets and plugins return', async () => {
  const secret = 'S3CRET';
  const value = fc.oneof(
    fc.constantFrom(secret, base64(secret), base64(`u:${secret}`), base64(`u:${secret}\n`), null, 7),
    fc.string().map(text => secret + text),
  );
  const entry = fc.oneof(
    value,
    fc.dictionary(fc.constantFrom('auth', 'username', 'password', 'identitytoken'), value),
  );
  const config = fc.record(
    {
      auths: fc.dictionary(fc.constantFrom('r.io', 'r.io/ns', '*.io'), entry),
      credsStore: fc.constantFrom('x', 'a/b'),
    },
    { requiredKeys: [] },
  );
  const text = fc.oneof(
    config.map(made => JSON.stringify(made)),
    value.map(made => `${made}`),
  );
  const data = fc.record(
    { '.dockerconfigjson': text, '.dockercfg': text },
    { requiredKeys: [], noNullPrototype: true },
  );
  const leaks = (shown: string): boolean =>
    [secret, base64(secret).slice(0, 8), base64(`u:${secret}`).slice(0, 8)].some(part =>
      shown.includes(part),
    );
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(data, { maxLength: 3 }), text, async (all, tokens) => {
      const secrets = all.map((one, index) => ({ name: `s-${index}`, data: one }));
      using keychain = openKeychain({ pods: podsOf(...secrets) });
      const caller = { secrets: { [tokensKey]: tokens }, pod };
      const keyring = keychain.open(caller);
      assert.ok(!leaks(keyring.id));
      assert.ok(!leaks((await keychain.explain(endpoint, caller, never)).join()));
      try {
        assert.ok(!leaks((await keyring.find(endpoint, never)).source));
      } catch (thrown) {
        refused += 1;
        assert.ok(thrown instanceof ArtifactError, inspect(thrown));
        assert.ok(!leaks(inspect(thrown, { depth: 10 })), inspect(thrown));
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(refused > 50, `only ${refused} were refused`);
});

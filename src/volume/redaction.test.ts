import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cpuTime } from '../../test/support/os/cpu-time.ts';
import { tokensKey } from '../oci/credential.ts';
import { redact, secretTexts } from './redaction.ts';

test('secrets are the values of a call, the texts in their JSON, and what their base64 hides', () => {
  const auth = btoa('robot:hunter22');
  const json = JSON.stringify({ auths: { 'registry.test': { auth, email: 'me@test' } } });
  const found = secretTexts({
    volume_id: 'volume',
    secrets: { '.dockerconfigjson': json, password: 'pl4in' },
    volume_context: { reference: 'r', [tokensKey]: '{"aud":{"token":"eyJhb.x.y"}}' },
  });
  for (const secret of [json, auth, 'me@test', 'robot:hunter22', 'hunter22', 'pl4in', 'eyJhb.x.y']) {
    assert.ok(found?.includes(secret), secret);
  }
  assert.ok(!found?.includes('volume') && !found?.includes('registry.test'));
});

test('a user name is a secret unless the request has it in plain', () => {
  const json = JSON.stringify({ auths: { r: { username: 'acme-bot', password: 'acme' } } });
  const secrets = { username: 'acme', password: 'hunter22', '.dockerconfigjson': json };
  const found = secretTexts({ secrets, volume_context: { reference: 'r.test/acme/model:2' } });
  assert.ok(found?.includes('acme-bot') && found.includes('hunter22'));
  assert.ok(secretTexts({ secrets: { username: 'acme-2' } })?.includes('acme-2'));
  const own = secretTexts({ secrets: { username: 'acme', password: 'x' }, reference: 'r.test/acme/model:2' });
  assert.equal(redact('r.test/acme/model:2 is refused', own), 'r.test/acme/model:2 is refused');
});

test('many user names beside long attributes cost little', () => {
  const auths = (nth: number) =>
    Object.fromEntries(Array.from({ length: 9_000 }, (_, at) => [at, { username: `user-${nth}-${at}` }]));
  const secrets = { a: JSON.stringify({ auths: auths(1) }), b: JSON.stringify({ auths: auths(2) }) };
  const request = { secrets, volume_context: { reference: 'r.test/m:1', other: 'user-'.repeat(200_000) } };
  const took = [1, 2].map(() => {
    const start = cpuTime();
    secretTexts(request);
    return cpuTime() - start;
  });
  assert.ok(Math.min(...took) < 400, took.join(' '));
});

test('a secret that is not the JSON it looks like is one secret', () => {
  assert.deepEqual(secretTexts({ secrets: { key: '{"password": "hunter22"' } }), ['{"password": "hunter22"']);
});

test('a secret that is a word of this program garbles no message', () => {
  const request = { secrets: { username: 'user', password: 'secret' } };
  const text = 'nodePublishSecretRef has only one of username and password; name a pull secret';
  assert.equal(redact(text, secretTexts(request)), text);
});

test('a longer secret goes before a shorter one that it holds', () => {
  const secrets = secretTexts({ secrets: { a: 'hunter2', b: 'hunter22' } });
  assert.equal(redact('as hunter22 and hunter2', secrets), 'as [redacted] and [redacted]');
});

test('every secret is removed from every text', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 4 }), fc.string(), fc.string(), (secret, before, after) => {
      fc.pre(!'[redacted]'.includes(secret) && !/^[a-z]{1,11}$/i.test(secret));
      const shown = redact(before + secret + after, secretTexts({ secrets: { password: secret } }));
      // What remains may only result from the mark and the text beside it.
      assert.ok(!shown.replaceAll('[redacted]', '\u{0}').includes(secret));
    }),
  );
});

test('no secrets are found in a request without secrets', () => {
  for (const request of [undefined, null, 1, 'text', {}, { chunk: Buffer.from('x') }]) {
    assert.deepEqual(secretTexts(request), []);
  }
});

test('a request with more secrets than can be looked for costs little, and nothing of its messages is shown', () => {
  const texts = (nth: number): string =>
    JSON.stringify(Array.from({ length: 4 }, (_, at) => `q${nth * 4 + at}`.padStart(5, 'q')));
  const keys = Array.from({ length: 25_000 }, (_, nth) => [`k${nth}`, texts(nth)] as const);
  const took = [1, 2].map(() => {
    const start = cpuTime();
    const secrets = secretTexts({ secrets: Object.fromEntries(keys) });
    assert.doesNotMatch(redact('qqq17 is refused', secrets), /qqq17|refused/);
    return cpuTime() - start;
  });
  assert.ok(Math.min(...took) < 100, took.join(' '));
  const few = secretTexts({ secrets: Object.fromEntries(keys.slice(0, 500)) });
  assert.equal(redact('qqq17 is refused', few), '[redacted] is refused');
});

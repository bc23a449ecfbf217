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

test('secrets that overlap or touch are replaced by one mark', () => {
  const secrets = secretTexts({ secrets: { a: 'abcd1', b: 'd1efg', c: '2345' } });
  assert.equal(redact('abcd1efg2345, abcd1', secrets), '[redacted], [redacted]');
});

test('a mark is never searched, so texts that are parts of one lengthen nothing', () => {
  const texts = ['a1b2c3d4e5f6', '[red', 'ted]', 'ed]a', 'd]a1', '[redacted]', 'edact[', 'redact[re'];
  const secrets = secretTexts({ secrets: { '.dockerconfigjson': JSON.stringify(texts) } });
  assert.equal(redact(`to ${'a1b2c3d4e5f6'.repeat(400)}.`, secrets), 'to [redacted].');
  const apart = redact('a1b2c3d4e5f6 '.repeat(400), secrets);
  assert.equal(apart, '[redacted] '.repeat(400));
});

test('a long secret is hidden also where a message cuts it', () => {
  const token = `eyJ${'0123456789'.repeat(90)}`;
  const secrets = secretTexts({ secrets: { token } });
  assert.equal(redact(`invalid "${token}": why`, secrets), 'invalid "[redacted]": why');
  assert.equal(redact(`invalid "${token.slice(0, 200)}…`, secrets), 'invalid "[redacted]');
});

test('a long text is cut, and a secret at the cut is hidden', () => {
  const secrets = secretTexts({ secrets: { password: 'hunter22' } });
  assert.equal(redact('a'.repeat(900_000), secrets).length, 8193);
  assert.equal(redact(`${'a'.repeat(8189)}hunter22 and more`, secrets), `${'a'.repeat(8189)}[redacted]…`);
});

test('the time to search has a bound for every text and all secrets', () => {
  const tag = (nth: number): string => nth.toString(36).padStart(3, '0');
  const texts = Array.from({ length: 4000 }, (_, nth) => `${'a'.repeat(1 + (nth % 29))}${tag(nth)}`);
  const text = 'a'.repeat(900_000);
  for (const request of [
    { secrets: { json: JSON.stringify(texts) }, reference: text },
    { secrets: { json: JSON.stringify(texts.map(username => ({ username }))) }, reference: text },
  ]) {
    const took = [1, 2].map(() => {
      const start = cpuTime();
      redact(text, secretTexts(request));
      return cpuTime() - start;
    });
    assert.ok(Math.min(...took) < 200, took.join(' '));
  }
});

test('every secret is removed, and a text grows by its marks at the most', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '1', '[', 'r', ']'), maxLength: 60 });
  fc.assert(
    fc.property(fc.array(text), text, (secrets, searched) => {
      const texts = secretTexts({ secrets: { json: JSON.stringify(secrets) } }) ?? [];
      const parts = redact(searched, texts).split('[redacted]');
      for (const secret of texts) assert.ok(!parts.some(part => part.includes(secret)), secret);
      assert.ok(parts.join('').length <= searched.length && parts.length <= 1 + searched.length / 4);
    }),
  );
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

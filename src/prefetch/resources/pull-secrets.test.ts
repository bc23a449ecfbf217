import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../../util/error.ts';
import { openPullSecrets } from './pull-secrets.ts';

const never = new AbortController().signal;
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
const [one, other] = [{ auth: 'b25l' }, { auth: 'b3RoZXI=' }];

const secrets: Record<string, object> = {
  first: { data: { '.dockerconfigjson': encode({ auths: { 'r.example': one } }) } },
  second: { data: { '.dockercfg': encode({ 'r.example': other, 's.example': other }) } },
  opaque: { data: { password: 'UzNDUkVU' } },
  broken: { data: { '.dockerconfigjson': 'UzNDUkVU' } },
};

function openWorld() {
  const asked: string[] = [];
  const clock = { at: 0 };
  const read = openPullSecrets(
    {
      async get(path) {
        asked.push(path.slice(2).join('/'));
        const name = path.at(-1) ?? '';
        if (name === 'away') throw new ArtifactError('unavailable', 'the API answered 503');
        if (name === 'hidden') throw new ArtifactError('denied', 'this daemon may not get secrets');
        return secrets[name];
      },
    },
    async () => {},
    () => clock.at,
  );
  return {
    asked,
    clock,
    read: (...names: readonly string[]) =>
      read(
        names.map(name => ({ namespace: 'shop', name })),
        never,
      ),
  };
}

test('pull secrets become those of one call; of equal entries, that of the first secret wins', async () => {
  const { asked, read } = openWorld();
  const found = await read('first', 'second');
  assert.deepEqual(JSON.parse(found['.dockerconfigjson'] ?? ''), {
    auths: { 'r.example': one, 's.example': other },
  });
  assert.deepEqual(asked, ['namespaces/shop/secrets/first', 'namespaces/shop/secrets/second']);
  assert.deepEqual(await read(), {});
});

const refused: readonly (readonly [name: string, code: string, message: RegExp])[] = [
  ['absent', 'not-found', /^the pull secret shop\/absent does not exist; create it$/],
  [
    'hidden',
    'denied',
    /^the pull secret shop\/hidden cannot be read; add it to prefetchSecrets of the chart: /,
  ],
  [
    'opaque',
    'invalid',
    /^the pull secret shop\/opaque is no pull secret; create it with the type kubernetes/,
  ],
  ['broken', 'invalid', /^the pull secret shop\/broken has a \.dockerconfigjson that is not JSON/],
];
for (const [name, code, message] of refused)
  test(`a pull secret that is ${name} is refused by name, without its content`, async () => {
    await assert.rejects(openWorld().read('first', name), error => {
      assert.ok(error instanceof ArtifactError);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /S3CRET|UzND/);
      return true;
    });
  });

for (const [name, , message] of refused)
  test(`a pull secret that is ${name} is not asked for again for a minute`, async () => {
    const { asked, clock, read } = openWorld();
    for (const at of [0, 59_999]) {
      clock.at = at;
      await assert.rejects(read(name), { message });
      assert.equal(asked.length, 1);
    }
    clock.at = 60_000;
    await assert.rejects(read(name), { message });
    assert.equal(asked.length, 2);
  });

test('a pull secret is asked for again after the API failed, and used when it is right again', async () => {
  const { asked, clock, read } = openWorld();
  for (let times = 1; times <= 2; times++) {
    await assert.rejects(read('away'), /the pull secret shop\/away cannot be read: the API answered 503/);
    assert.equal(asked.length, times);
  }
  const later = 'created later';
  await assert.rejects(read(later));
  secrets[later] = secrets['first'] ?? assert.fail();
  clock.at = 60_000;
  assert.deepEqual(JSON.parse((await read(later))['.dockerconfigjson'] ?? ''), {
    auths: { 'r.example': one },
  });
});

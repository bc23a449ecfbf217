import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileFilters, type FieldOf } from './filter.ts';
import { unquote } from './quoted.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const fields: Readonly<Record<string, string>> = {
  name: 'ghcr.io/team/model:v1',
  topic: '/images/create',
  namespace: 'k8s.io',
  'event.name': 'ghcr.io/team/model:v1',
  'target.digest': digest,
  'labels.containerd.io/distribution.source.ghcr.io': 'team/model',
};
const fieldOf: FieldOf = path => fields[path.join('.')];
const matches = async (...filters: readonly string[]): Promise<boolean> =>
  (await compileFilters(filters))(fieldOf);

const matching = [
  '',
  'name',
  'name==ghcr.io/team/model:v1',
  'name=="ghcr.io/team/model:v1"',
  'name~="^.+/"',
  'name~=/team\\/model/',
  'name~=|^(ghcr\\\\.io\\|docker\\\\.io)/|',
  'name~="^(docker\\\\.io|ghcr\\\\.io)/"',
  'name~=^ghcr',
  'name!=other',
  'absent!=other',
  `target.digest==${digest}`,
  `target.digest=="${digest}" , name~=model`,
  'namespace=="k8s.io",topic~="/images/create|/images/update",event.name~="^.+/"',
  'labels."containerd.io/distribution.source.ghcr.io"~="^."',
  'labels."containerd.io/distribution.source.ghcr.io"',
  '"\\x6eame"=="ghcr.io/team/\\u006dodel:v1"',
];
const differing = [
  'absent',
  'absent==""',
  'absent~="^."',
  'name==ghcr.io/team/model',
  'name!=ghcr.io/team/model:v1',
  'name~="^team"',
  'name~=ghcr,topic==/images/delete',
  'labels."containerd.io/distribution.source.docker.io"~="^."',
];
const broken = [
  'name==',
  'name=~a',
  '==a',
  'name==a b',
  'name==a,',
  'name.',
  'name=="a',
  'name=="a\\q"',
  'name~="("',
  'name==/a/b/ c',
  ',name',
  'name;topic',
];

test('filters of Spegel and ctr match what they match in containerd', async () => {
  for (const filter of matching) assert.equal(await matches(filter), true, filter);
  for (const filter of differing) assert.equal(await matches(filter), false, filter);
});

test('without filters everything matches, and with several one suffices', async () => {
  assert.equal(await matches(), true);
  assert.equal(await matches('absent', 'name'), true);
  assert.equal(await matches('absent', 'topic==other'), false);
});

test('a filter that does not parse is refused, and quoted', async () => {
  for (const filter of broken)
    await assert.rejects(
      matches(filter),
      { code: 'invalid', message: /^the filter ".*" cannot be parsed at/ },
      filter,
    );
  await assert.rejects(matches(`name==${'a'.repeat(9000)}`), { code: 'invalid', message: /8192 characters/ });
});

test('a pattern that would take others exponential time takes linear time', async () => {
  const isWanted = await compileFilters(['name~="^(a+)+$"']);
  const started = process.cpuUsage().user;
  assert.equal(
    isWanted(() => `${'a'.repeat(5000)}!`),
    false,
  );
  assert.ok(process.cpuUsage().user - started < 5_000_000);
});

test('repetitions that would take much memory and time are refused before they are compiled', async () => {
  const started = performance.now();
  for (const pattern of [
    'a{1000}'.repeat(1100),
    '(?:[a-z]?){1000,}',
    '(?:(?:ab?){30}){30}',
    'a'.repeat(2049),
  ])
    await assert.rejects(matches(`name~="${pattern}"`), { code: 'invalid', message: /than 2048 characters/ });
  const several = Array.from({ length: 200 }, () => 'name~=abcdefghijk').join(',');
  await assert.rejects(matches(several), { code: 'invalid', message: /than 2048 characters/ });
  assert.ok(performance.now() - started < 5_000);
  assert.equal(await matches('target.digest~="^sha256:[0-9a-f]{64}$"'), true);
});

test('any text is a filter or is refused, and a quoted value is itself', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: fc.constantFrom(...'name.=~!",/|\\ x0'.split('')) }), async text => {
      await compileFilters([text]).catch((thrown: unknown) =>
        assert.equal((thrown as { code?: unknown }).code, 'invalid'),
      );
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'grapheme' }), async value => {
      const quoted = JSON.stringify(value);
      assert.equal(unquote(quoted), value);
      assert.equal(
        (await compileFilters([`name==${quoted}`]))(() => value),
        true,
      );
    }),
  );
});

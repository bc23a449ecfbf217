import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../util/error.ts';
import type { Descriptor } from './descriptor.ts';
import { parseDigest } from './digest.ts';
import { nameEntries } from './layout.ts';
import { formatReference, parseReference, type Reference } from './reference.ts';

const refName = 'org.opencontainers.image.ref.name';
const containerdName = 'io.containerd.image.name';

/** An entry of an index.json; its digest repeats one letter. */
function entry(letter: string, annotations: Readonly<Record<string, string>> = {}): Descriptor {
  return { mediaType: '', digest: parseDigest(`sha256:${letter.repeat(64)}`), size: 1, annotations };
}

function full(text: string): Reference {
  const parsed = parseReference(text);
  assert.equal(parsed.kind, 'full');
  return parsed.kind === 'full' ? parsed.reference : assert.fail();
}

/** Returns the selected entries as "reference letter", or the error. */
function namesOf(manifests: readonly Descriptor[], wanted?: string): readonly string[] | string {
  try {
    const index = { kind: 'index', mediaType: '', annotations: {}, manifests } as const;
    const entries = nameEntries(index, wanted === undefined ? undefined : full(wanted));
    return entries.map(({ reference, descriptor }) => {
      const what = descriptor === 'index.json' ? descriptor : descriptor.digest.slice(-1);
      return `${formatReference(reference)} ${what}`;
    });
  } catch (thrown) {
    assert.ok(thrown instanceof ArtifactError && thrown.code === 'invalid', String(thrown));
    return thrown.message;
  }
}

const wanted = 'r.test/n:2';

for (const [title, manifests, expected] of [
  ['the only one, whatever its name', [entry('a', { [refName]: '1' })], ['r.test/n:2 a']],
  ['the tag', [entry('a', { [refName]: '1' }), entry('b', { [refName]: '2' })], ['r.test/n:2 b']],
  [
    'the full reference',
    [entry('a', { [refName]: 'r.test/n:1' }), entry('b', { [containerdName]: wanted })],
    ['r.test/n:2 b'],
  ],
  [
    'the full reference and not the tag of another',
    [entry('a', { [refName]: 'r.test/other:2' }), entry('b', { [refName]: wanted })],
    ['r.test/n:2 b'],
  ],
  ['one that is listed twice', [entry('a', { [refName]: '2' }), entry('a')], ['r.test/n:2 a']],
  ['the index itself, of several without a name', [entry('a'), entry('b')], ['r.test/n:2 index.json']],
] as const) {
  test(`with a reference, ${title} is taken from a layout`, () => {
    assert.deepEqual(namesOf(manifests, wanted), expected);
  });
}

test('with none that matches, or several, it refuses and lists them', () => {
  const none = namesOf([entry('a', { [refName]: '1' }), entry('b', { [refName]: '3' })], wanted);
  assert.match(
    String(none),
    /^nothing in the layout is r\.test\/n:2: it has "1" \(sha256:a+\), "3" \(sha256:b+\)/,
  );
  const several = namesOf([entry('a', { [refName]: '2' }), entry('b', { [refName]: wanted })], wanted);
  assert.match(String(several), /^several artifacts of the layout are r\.test\/n:2: .*a{64}.*b{64}/);
  assert.match(String(namesOf([], wanted)), /lists nothing/);
});

test('without a reference, each has a unique full one of its own', () => {
  assert.deepEqual(
    namesOf([entry('a', { [refName]: 'r.test/n:1' }), entry('b', { [containerdName]: 'r.test/n:2' })]),
    ['r.test/n:1 a', 'r.test/n:2 b'],
  );
  assert.match(String(namesOf([entry('a', { [refName]: '2' })])), /calls sha256:a+ "2", which is no full/);
  assert.match(
    String(namesOf([entry('a', { [refName]: wanted }), entry('b', { [refName]: wanted })])),
    /^several artifacts of the layout are r\.test\/n:2/,
  );
});

test('a digest is selected by itself', () => {
  const digest = `sha256:${'b'.repeat(64)}`;
  assert.deepEqual(namesOf([entry('a'), entry('b')], `r.test/n@${digest}`), [`r.test/n@${digest} b`]);
  assert.match(String(namesOf([entry('a')], `r.test/n@${digest}`)), /^nothing in the layout/);
});

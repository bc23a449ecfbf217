import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../util/error.ts';
import { parseDigest } from './digest.ts';
import {
  formatReference,
  formatRepository,
  parseReference,
  parseRepository,
  type Reference,
} from './reference.ts';

const sha256 = parseDigest(`sha256:${'a1'.repeat(32)}`);
const sha512 = parseDigest(`sha512:${'b2'.repeat(64)}`);

describe('a full reference', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['ghcr.io/org/model', 'ghcr.io/org/model:latest'],
    ['ghcr.io/org/model:v1', 'ghcr.io/org/model:v1'],
    ['ghcr.io/org/model:V1_a.b-C', 'ghcr.io/org/model:V1_a.b-C'],
    [`ghcr.io/model@${sha256}`, `ghcr.io/model@${sha256}`],
    [`ghcr.io/model@${sha512}`, `ghcr.io/model@${sha512}`],
    [`ghcr.io/model:v1@${sha256}`, `ghcr.io/model:v1@${sha256}`],
    [`ghcr.io/model:${'t'.repeat(128)}`, `ghcr.io/model:${'t'.repeat(128)}`],
    ['localhost/x', 'localhost/x:latest'],
    ['localhost:5000/x:y', 'localhost:5000/x:y'],
    ['host:5000/x', 'host:5000/x:latest'],
    ['host:65535/a/b/c/d', 'host:65535/a/b/c/d:latest'],
    ['127.0.0.1:5000/x', '127.0.0.1:5000/x:latest'],
    ['[::1]:5000/x', '[::1]:5000/x:latest'],
    ['[fe80::1]/x:1', '[fe80::1]/x:1'],
    ['docker.io/alpine', 'docker.io/library/alpine:latest'],
    ['docker.io/library/alpine', 'docker.io/library/alpine:latest'],
    ['docker.io/org/alpine', 'docker.io/org/alpine:latest'],
    ['index.docker.io/alpine:3', 'docker.io/library/alpine:3'],
    ['registry-1.docker.io/alpine', 'registry-1.docker.io/alpine:latest'],
    ['quay.io/alpine', 'quay.io/alpine:latest'],
    ['a--b.example/x', 'a--b.example/x:latest'],
    ['example.com/a.b/c_d/e__f/g-h/i---j/0', 'example.com/a.b/c_d/e__f/g-h/i---j/0:latest'],
    ['example.com:80/x', 'example.com:80/x:latest'],
    [`e.io/${'x'.repeat(250)}`, `e.io/${'x'.repeat(250)}:latest`],
  ];
  for (const [text, canonical] of rows) {
    test(`${text.slice(0, 60)} is ${canonical.slice(0, 60)}`, () => {
      const parsed = parseReference(text);
      assert.equal(parsed.kind, 'full');
      assert.equal(parsed.kind === 'full' && formatReference(parsed.reference), canonical);
    });
  }
});

describe('a short name', () => {
  const rows: readonly (readonly [string, object])[] = [
    ['model', { name: 'model', tag: 'latest' }],
    ['model:v1', { name: 'model', tag: 'v1' }],
    ['org/model:v1', { name: 'org/model', tag: 'v1' }],
    [`org/model@${sha256}`, { name: 'org/model', digest: sha256 }],
    [`org/model:v1@${sha256}`, { name: 'org/model', tag: 'v1', digest: sha256 }],
    ['localhost:5000', { name: 'localhost', tag: '5000' }],
    ['ghcr.io', { name: 'ghcr.io', tag: 'latest' }],
    ['localhosts/x', { name: 'localhosts/x', tag: 'latest' }],
    ['x'.repeat(255), { name: 'x'.repeat(255), tag: 'latest' }],
  ];
  for (const [text, expected] of rows) {
    test(`${text.slice(0, 60)} has no registry`, () => {
      assert.deepEqual(parseReference(text), { kind: 'short', ...expected });
    });
  }
});

describe('an invalid reference is refused with what to write', () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ['', /empty; write registry\/repository:tag/],
    ['https://ghcr.io/org/model', /begins with "https:\/\/"; write "ghcr.io\/org\/model"/],
    ['oci://ghcr.io/model:1', /begins with "oci:\/\/"; write "ghcr.io\/model:1"/],
    ['docker://alpine', /begins with "docker:\/\/"; write "alpine"/],
    ['ghcr.io/Org/Model:V1', /upper-case letters; write "ghcr.io\/org\/model:V1"/],
    ['GHCR.io/model', /write "ghcr.io\/model"/],
    ['Model', /write "model"/],
    ['127.1/x', /another spelling; write "127.0.0.1"/],
    ['[0:0::1]:5000/x', /another spelling; write "\[::1\]:5000"/],
    ['1.2.3.999/x', /"1.2.3.999" is not a registry/],
    ['[::g]/x', /is not a registry/],
    ['host:0/x', /is not a registry/],
    ['host:0443/x', /is not a registry/],
    ['host:65536/x', /is not a registry/],
    ['host:/x', /is not a registry/],
    ['a..b/x', /is not a registry/],
    ['example.com./x', /is not a registry/],
    ['-a.b/x', /is not a registry/],
    ['my_host.io/x', /is not a registry/],
    ['ghcr.io/', /its path has an empty part/],
    ['ghcr.io//x', /its path has an empty part/],
    ['/x', /its path has an empty part/],
    ['ghcr.io/x/', /its path has an empty part/],
    ['ghcr.io/..', /the part ".." of its path/],
    ['ghcr.io/a___b', /the part "a___b"/],
    ['ghcr.io/a..b', /the part "a..b"/],
    ['ghcr.io/-a', /the part "-a"/],
    ['model ', /the part "model "/],
    ['ghcr.io/mödel', /the part "mödel"/],
    ['ghcr.io/x:', /the tag "" must be/],
    ['ghcr.io/x:.y', /the tag ".y" must be/],
    ['ghcr.io/x:a:b', /the tag "a:b" must be/],
    [`ghcr.io/x:${'t'.repeat(129)}`, /must be 1 to 128/],
    ['ghcr.io/x@', /after "@" goes sha256/],
    ['ghcr.io/x@latest', /after "@" goes sha256/],
    [`ghcr.io/x@${sha256}0`, /after "@" goes sha256/],
    [`ghcr.io/x@${sha256.toUpperCase()}`, /in lower case/],
    [`ghcr.io/x@${sha256}@${sha256}`, /after "@" goes sha256/],
    [`ghcr.io/x@md5:${'a'.repeat(32)}`, /after "@" goes sha256/],
    [sha256, /a digest alone names no repository/],
    ['a1'.repeat(32), /a digest alone names no repository/],
    [`e.io/${'x'.repeat(251)}`, /256 characters, more than 255/],
    ['x'.repeat(256), /256 characters, more than 255/],
    [`docker.io/${'x'.repeat(240)}`, /258 characters, more than 255/],
    ['x'.repeat(100_000), /100000 characters/],
  ];
  for (const [text, why] of rows) {
    test(`"${text.slice(0, 60)}": ${why.source}`, () => {
      assert.throws(
        () => parseReference(text),
        (thrown: unknown) =>
          thrown instanceof ArtifactError && thrown.code === 'invalid' && why.test(thrown.message),
      );
    });
  }

  test('a username and password in a reference are never quoted', () => {
    for (const text of ['https://joe:hunter2@ghcr.io/x', 'joe:hunter2@ghcr.io/x', 'joe:hunter2@x']) {
      assert.throws(
        () => parseReference(text),
        (thrown: unknown) => thrown instanceof ArtifactError && !thrown.message.includes('hunter2'),
      );
    }
  });
});

describe('a repository alone', () => {
  test('is full and has neither tag nor digest', () => {
    assert.deepEqual(parseRepository('docker.io/alpine'), { registry: 'docker.io', path: 'library/alpine' });
    assert.equal(formatRepository(parseRepository('host:5000/a/b')), 'host:5000/a/b');
  });
  for (const text of ['alpine', 'org/alpine', 'ghcr.io/x:1', `ghcr.io/x@${sha256}`, 'ghcr.io', '']) {
    test(`is not ${text === '' ? 'nothing' : text.slice(0, 30)}`, () => {
      assert.throws(() => parseRepository(text), { name: 'ArtifactError', code: 'invalid' });
    });
  }
});

const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:(?:[._]|__|-{1,3})[a-z0-9]{1,4}){0,2}$/);
const registry = fc.oneof(
  fc.constantFrom(
    'docker.io',
    'index.docker.io',
    'localhost',
    'localhost:5000',
    '[::1]',
    '[::1]:5443',
    'single:443',
    '10.0.0.1:80',
  ),
  fc.stringMatching(/^[a-z]{1,6}(?:-[a-z0-9]{1,3})?\.[a-z]{2,5}(?::[1-9][0-9]{0,3})?$/),
);
const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));
const digest = fc.oneof(
  hex(64).map(text => parseDigest(`sha256:${text}`)),
  hex(128).map(text => parseDigest(`sha512:${text}`)),
);
const reference: fc.Arbitrary<Reference> = fc
  .record(
    {
      registry,
      path: fc.array(component, { minLength: 1, maxLength: 5 }).map(parts => parts.join('/')),
      tag: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/),
      digest,
    },
    { requiredKeys: ['registry', 'path'], noNullPrototype: true },
  )
  .map(made => (made.tag === undefined && made.digest === undefined ? { ...made, tag: 'latest' } : made));

/** The spelling after parsing: Docker Hub's registry and its library are written out. */
function canonical(made: Reference): Reference {
  if (!['docker.io', 'index.docker.io'].includes(made.registry)) return made;
  return {
    ...made,
    registry: 'docker.io',
    path: made.path.includes('/') ? made.path : `library/${made.path}`,
  };
}

describe('for every reference', () => {
  test('parsing a formatted reference returns it', () => {
    fc.assert(
      fc.property(reference, made => {
        const parsed = parseReference(formatReference(made));
        assert.deepEqual(parsed, { kind: 'full', reference: canonical(made) });
      }),
    );
  });

  test('formatting is stable: a parsed and formatted text parses to itself', () => {
    fc.assert(
      fc.property(reference, made => {
        const once = parseReference(formatReference(made));
        assert.ok(once.kind === 'full');
        assert.deepEqual(parseReference(formatReference(once.reference)), once);
      }),
    );
  });
});

describe('for every text', () => {
  const broken = fc
    .tuple(
      reference,
      fc.nat(),
      fc.oneof(fc.string({ maxLength: 3, unit: 'binary' }), fc.constantFrom(':', '@', '/', '[', '.')),
    )
    .map(([made, at, extra]) => {
      const text = formatReference(made);
      const index = at % (text.length + 1);
      return text.slice(0, index) + extra + text.slice(index);
    });

  test('only an ArtifactError is thrown, on one line, and a parsed text can be formatted', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), broken), text => {
        try {
          const parsed = parseReference(text);
          if (parsed.kind === 'full') {
            assert.deepEqual(parseReference(formatReference(parsed.reference)), parsed);
          }
        } catch (thrown) {
          if (!(thrown instanceof ArtifactError)) throw thrown;
          assert.equal(thrown.code, 'invalid');
          assert.match(thrown.message, /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{1,5000}$/u);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('an error quotes at most 200 characters of it', () => {
    assert.throws(
      () => parseReference(`ghcr.io/${'A'.repeat(400)}`),
      (thrown: unknown) => thrown instanceof ArtifactError && !/[Aa]{201}/.test(thrown.message),
    );
  });
});

describe('the https port', () => {
  for (const [text, registry] of [
    ['10.77.0.1:443/x/y:1', '10.77.0.1'],
    ['host.example:443/x', 'host.example'],
    ['localhost:443/x', 'localhost'],
    ['[::1]:443/x', '[::1]'],
    ['docker.io:443/library/x', 'docker.io'],
    ['host.example:4430/x', 'host.example:4430'],
    ['host.example:80/x', 'host.example:80'],
    ['single:443/x', 'single:443'],
  ] as const) {
    test(`of ${text}: the registry is ${registry}`, () => {
      const parsed = parseReference(text);
      assert.ok(parsed.kind === 'full');
      assert.equal(parsed.reference.registry, registry);
    });
  }
});

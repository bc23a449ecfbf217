import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatReference, parseReference } from '../../src/oci/reference.ts';
import { parseAttributes } from '../../src/volume/attributes.ts';

describe('another spelling of a registry does not bypass its rule:', () => {
  for (const [reference, says] of [
    ['registry-1.docker.io/acme/model:v1', /must have docker\.io for registry-1\.docker\.io/],
    ['registry-1.docker.io:443/acme/model:v1', /must have docker\.io for/],
    ['registry.hub.docker.com/acme/model:v1', /must have docker\.io for/],
    ['GHCR.io/acme/model:v1', /only a tag may have upper-case letters/],
    ['ghcr.io./acme/model:v1', /is not a registry/],
    ['ghcr.io:0443/acme/model:v1', /is not a registry/],
    ['[::0001]/acme/model:v1', /another spelling/],
    ['127.1/acme/model:v1', /another spelling/],
    ['0x7f.0.0.1/acme/model:v1', /another spelling/],
    ['user@ghcr.io/acme/model:v1', /invalid reference/],
    ['user:password@ghcr.io/acme/model:v1', /user name and password/],
    ['ghcr.io\\evil.example/acme/model:v1', /is not a/],
    ['ghcr.io/acme/../other/model:v1', /invalid reference/],
    ['ghcr.io/acme%2f..%2fother/model:v1', /invalid reference/],
    ['ghcr.io//acme/model:v1', /invalid reference/],
    ['ɢhcr.io/acme/model:v1', /is not a/],
  ] as const) {
    test(JSON.stringify(reference), () => {
      assert.throws(() => parseAttributes({ reference }), { code: 'invalid', message: says });
    });
  }
});

test('a registry with the HTTPS port equals the registry without it', () => {
  for (const host of ['ghcr.io', 'docker.io', '[::1]']) {
    const parsed = parseReference(`${host}:443/acme/model:v1`);
    assert.ok(parsed.kind === 'full');
    assert.equal(formatReference(parsed.reference), `${host}/acme/model:v1`);
  }
});

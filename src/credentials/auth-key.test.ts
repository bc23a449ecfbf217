import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { imageMatches } from './auth-key.ts';

describe('matchImages as in kubelet', () => {
  const rows: readonly (readonly [pattern: string, host: string, path: string, fits: boolean])[] = [
    ['123.dkr.ecr.us-east-1.amazonaws.com', '123.dkr.ecr.us-east-1.amazonaws.com', 'a/b', true],
    ['*.dkr.ecr.*.amazonaws.com', '123.dkr.ecr.us-east-1.amazonaws.com', 'a', true],
    ['*.dkr.ecr.*.amazonaws.com', '123.dkr.ecr.us-east-1.amazonaws.com.evil.example', 'a', false],
    ['*.azurecr.io', 'azurecr.io', 'a', false],
    ['*.azurecr.io', 'x.y.azurecr.io', 'a', false],
    ['app*.k8s.io', 'app1.k8s.io', 'a', true],
    ['k8s.*', 'k8s.io', 'a', true],
    ['*.*.registry.io', 'a.b.registry.io', 'a', true],
    ['registry.io:8080/path', 'registry.io:8080', 'path/a', true],
    ['registry.io:8080/path', 'registry.io:8080', 'pathology', true],
    ['registry.io:8080/path', 'registry.io:8080', 'other', false],
    ['registry.io/path/', 'registry.io', 'path', false],
    ['registry.io:8080', 'registry.io', 'a', false],
    ['registry.io', 'registry.io:8080', 'a', false],
    ['*.registry.io:*', 'a.registry.io:80', 'a', false],
    ['registry.io/*/a', 'registry.io', 'x/a', false],
    ['registry.io:443', 'registry.io', 'a', true],
    ['docker.io', 'docker.io', 'library/x', true],
    ['registry-1.docker.io', 'docker.io', 'library/x', true],
  ];
  for (const [pattern, host, path, fits] of rows) {
    test(`${pattern} ${fits ? 'matches' : 'does not match'} ${host}/${path}`, () => {
      assert.equal(imageMatches(pattern, host, path), fits);
    });
  }

  test('a hostile pattern takes little time', () => {
    const started = performance.now();
    assert.equal(imageMatches(`${'*a'.repeat(500)}.io`, `${'a'.repeat(63)}.io`, 'x'), false);
    assert.ok(performance.now() - started < 500);
  });
});

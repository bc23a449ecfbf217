import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../util/error.ts';
import { parseBelow } from './target.ts';

const kubelet = '/var/lib/kubelet';

test('a target below the kubelet directory is split from it', () => {
  assert.equal(parseBelow('/var/lib/kubelet/pods/u/mount', kubelet), 'pods/u/mount');
  assert.equal(parseBelow('/mnt', '/'), 'mnt');
  assert.equal(parseBelow('/mnt/..volume/...', '/'), 'mnt/..volume/...');
});

test('a target that is not below its directory, or not clean, is invalid', () => {
  for (const path of [
    '',
    'pods/u/mount',
    '/var/lib/kubelet',
    '/var/lib/kubelet/',
    '/var/lib/kubelet2/pods',
    '/var/lib/kubelet/pods/',
    '/var/lib/kubelet/../../../etc',
    '/var/lib/kubelet/pods/./u',
    '/var/lib/kubelet/pods//u',
    '/var/lib/kubelet/pods/\0',
    '/etc',
  ]) {
    assert.throws(() => parseBelow(path, kubelet), { name: 'ArtifactError', code: 'invalid' }, path);
  }
  assert.throws(() => parseBelow('/', '/'), { code: 'invalid', message: /cannot be \/ itself/ });
});

test('every accepted path stays below the directory, in plain names alone', () => {
  const name = fc.constantFrom('..', '.', '', 'pods', 'x', '/');
  fc.assert(
    fc.property(fc.array(fc.oneof(name, fc.string())), names => {
      const path = `${kubelet}/${names.join('/')}`;
      try {
        const below = parseBelow(path, kubelet);
        assert.equal(posix.join(kubelet, below), path);
        assert.ok(below.split('/').every(part => !['', '.', '..'].includes(part)));
      } catch (error) {
        assert.ok(error instanceof ArtifactError && error.code === 'invalid', String(error));
      }
    }),
  );
});

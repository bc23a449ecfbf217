import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../../util/error.ts';
import { toUpstream } from '../config/route.ts';
import { SizeError, TransientError, UnreachableError } from '../http/retry.ts';
import { openMirrorHealth } from './mirror-health.ts';

const clock = { now: () => 0, elapsed: () => 0, random: () => 0, sleep: async () => {} };
const at = (mirrorOf: string, path = 'a/b') => ({
  ...toUpstream({ host: 'cache.example', path, insecure: false }),
  mirrorOf,
});
const [one, other] = [at('evil.example'), at('docker.io')];

test('a registry that fails behind a mirror, or lies to it, does not make the node skip it for others', () => {
  for (const failure of [
    new TransientError('unavailable', 'cache.example answered 502'),
    new ArtifactError('corrupt', 'cache.example sent wrong bytes'),
  ]) {
    const health = openMirrorHealth(clock, () => {});
    health.bad(one, 'a', failure);
    assert.equal(health.against(at('evil.example', 'c'), 'b'), failure);
    assert.equal(health.against(other, 'a'), undefined);
    health.good(one);
    assert.equal(health.against(one, 'a'), undefined);
  }
});

test('a size that a manifest has wrong does not make the node skip a mirror for other repositories and callers', () => {
  const short = new SizeError('cache.example announces 6 bytes; the descriptor says 7');
  for (const failure of [short, new TransientError('corrupt', 'cache.example ended it', short)]) {
    const health = openMirrorHealth(clock, () => {});
    health.bad(one, 'a', failure);
    assert.equal(health.against(one, 'a'), failure);
    assert.equal(health.against(one, 'b'), undefined);
    assert.equal(health.against(at('evil.example', 'c'), 'a'), undefined);
  }
});

test('a clock that is set back does not make the node skip a mirror for hours', () => {
  let now = 7_200_000;
  const health = openMirrorHealth({ ...clock, now: () => now }, () => {});
  const failure = new UnreachableError('unavailable', 'cache.example cannot be reached');
  health.bad(one, 'a', failure);
  now = 0;
  assert.equal(health.against(one, 'a'), undefined);
  health.bad(one, 'a', failure);
  assert.equal(health.against(one, 'a'), failure);
});

test('a mirror that is not reached is skipped for all registries', () => {
  const health = openMirrorHealth(clock, () => {});
  const failure = new UnreachableError('unavailable', 'cache.example cannot be reached');
  health.bad(one, 'a', new ArtifactError('unavailable', 'after two tries', failure));
  assert.notEqual(health.against(other, 'b'), undefined);
  health.good(other);
  assert.equal(health.against(one, 'a'), undefined);
});

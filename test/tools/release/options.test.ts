import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseReleaseOptions } from './options.ts';

const digest = `sha256:${'1'.repeat(64)}`;
const pinned = `FROM x\nARG BASE_IMAGE=base.example/node:latest@${digest}\n`;

test('a release is of a base with a digest, from the Dockerfile or the command line', () => {
  const { base, registry, keys } = parseReleaseOptions(['registry.example/csi/'], pinned);
  assert.deepEqual(
    [base, registry, keys],
    [`base.example/node:latest@${digest}`, 'registry.example/csi', []],
  );
  const given = ['registry.example', '--base', `other@${digest}`];
  assert.equal(parseReleaseOptions(given, pinned).base, `other@${digest}`);
});

test('a base without a digest is refused, and the error says what to do', () => {
  const said =
    /^Error: the base base\.example\/node:latest has no digest, .*ARG BASE_IMAGE of the Dockerfile .* --base$/;
  const unpinned = 'ARG BASE_IMAGE=base.example/node:latest\n';
  assert.throws(() => parseReleaseOptions(['registry.example'], unpinned), said);
  assert.throws(
    () => parseReleaseOptions(['registry.example', '--base', 'other:1'], pinned),
    /the base other:1 has/,
  );
});

test('several keys sign, and what follows -- is for cosign', () => {
  const line = ['r.example', '--key', 'a.key', '--key', 'b.key', '--', '--tlog-upload=false'];
  const { keys, cosign } = parseReleaseOptions(line, pinned);
  assert.deepEqual([keys, cosign], [['a.key', 'b.key'], ['--tlog-upload=false']]);
});

test('a line without a registry, or with an unknown option, is refused', () => {
  assert.throws(() => parseReleaseOptions([], pinned), /usage: npm run release -- REGISTRY/);
  assert.throws(() => parseReleaseOptions(['https://r.example'], pinned), /usage/);
  assert.throws(() => parseReleaseOptions(['r.example', '--kye', 'a'], pinned), /'--kye'/);
});

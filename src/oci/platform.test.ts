import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../util/error.ts';
import type { Descriptor } from './descriptor.ts';
import { parseDigest } from './digest.ts';
import { formatPlatform, type Platform, parsePlatform, selectPlatform, toPlatform } from './platform.ts';

const toKnown = (text: string): Platform => {
  const platform = parsePlatform(text);
  assert.ok(platform, text);
  return platform;
};

const entry = (platform?: string): Descriptor => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: parseDigest(`sha256:${'a'.repeat(64)}`),
  size: 1,
  annotations: {},
  ...(platform === undefined ? {} : { platform: toKnown(platform) }),
});

const select = (wanted: string, there: readonly (string | undefined)[]): string => {
  const entries = there.map(entry);
  const chosen = selectPlatform(entries, toKnown(wanted), 'r/x:1');
  return chosen.platform === undefined ? 'any' : formatPlatform(chosen.platform);
};

const table: readonly (readonly [wanted: string, there: readonly (string | undefined)[], chosen: string])[] =
  [
    ['linux/amd64', ['linux/arm64', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/amd64/v3', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', [undefined, 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', [undefined, 'linux/arm64'], 'any'],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v3'], 'linux/amd64/v3'],
    ['linux/amd64/v3', ['linux/amd64'], 'linux/amd64'],
    ['linux/arm64', ['linux/arm64'], 'linux/arm64'],
    ['linux/arm64', ['linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64/v8', ['linux/arm64'], 'linux/arm64'],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v6'],
    ['linux/arm', ['linux/arm/v8', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm/v7', ['linux/arm'], 'linux/arm'],
    ['linux/amd64/v3', ['linux/amd64/v2'], 'linux/amd64/v2'],
    ['linux/amd64/v3', ['linux/amd64/v1', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
    ['linux/amd64/v4', ['linux/amd64/v1', 'linux/386'], 'linux/amd64/v1'],
    ['linux/amd64', ['linux/amd64/v1'], 'linux/amd64/v1'],
    ['linux/amd64', ['linux/386'], 'linux/386'],
    ['linux/amd64', ['linux/x86_64'], 'linux/x86_64'],
    ['linux/arm64/v9', ['linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64/v9', ['linux/arm64', 'linux/arm64/v8.5'], 'linux/arm64/v8.5'],
    ['linux/arm64/v9.2', ['linux/arm64/v8.8', 'linux/arm64/v8.7', 'linux/arm64/v9'], 'linux/arm64/v9'],
    ['linux/arm64/v9.2', ['linux/arm64/v8.8', 'linux/arm64/v8.7'], 'linux/arm64/v8.7'],
    ['linux/arm64/v9.7', ['linux/arm64/v8.9', 'linux/arm64'], 'linux/arm64/v8.9'],
    ['linux/arm64/v8.2', ['linux/arm64', 'linux/arm64/v8.1'], 'linux/arm64/v8.1'],
    ['linux/arm64', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm64', ['linux/aarch64', 'linux/arm'], 'linux/aarch64'],
    ['linux/amd64/v3', [undefined, undefined], 'any'],
    ['linux/amd64/none', ['linux/amd64/none'], 'linux/amd64/none'],
    ['linux/riscv64', ['linux/riscv64'], 'linux/riscv64'],
    ['windows/amd64', ['linux/amd64', 'windows/amd64'], 'windows/amd64'],
  ];

for (const [wanted, there, chosen] of table) {
  test(`a node of ${wanted} gets ${chosen} from ${there.map(each => each ?? 'any').join(', ')}`, () => {
    assert.equal(select(wanted, there), chosen);
  });
}

test('an index without the platform is refused, and the error lists its platforms', () => {
  assert.throws(
    () => select('linux/amd64', ['linux/arm64', 'windows/amd64']),
    (thrown: unknown) =>
      thrown instanceof ArtifactError &&
      thrown.code === 'unmountable' &&
      /linux\/arm64, windows\/amd64/.test(thrown.message),
  );
});

for (const [wanted, later] of [
  ['linux/amd64', 'linux/amd64/v3'],
  ['linux/amd64/v2', 'linux/amd64/v3'],
  ['linux/arm64', 'linux/arm64/v9'],
  ['linux/arm64/v8.1', 'linux/arm64/v8.2'],
  ['linux/arm64/v9', 'linux/arm64/v8.6'],
  ['linux/arm/v6', 'linux/arm'],
  ['linux/amd64/v99999999', 'linux/amd64/v2'],
] as const) {
  test(`a node of ${wanted} does not get what was built for ${later}`, () => {
    assert.throws(() => select(wanted, [later]), ArtifactError);
  });
}

test('of entries without a platform the first is selected', () => {
  const [first, second] = [entry(), { ...entry(), size: 2 }];
  assert.equal(selectPlatform([first, second], toKnown('linux/amd64'), 'r/x:1'), first);
});

test("Node's names of architectures become those of an index", () => {
  assert.equal(formatPlatform(toPlatform('x64')), 'linux/amd64');
  assert.equal(formatPlatform(toPlatform('arm64')), 'linux/arm64');
});

for (const text of ['', 'linux', 'linux/', 'linux/amd64/v1/x', 'Linux/amd64', 'linux/amd64 ']) {
  test(`${JSON.stringify(text)} is not a platform`, () => {
    assert.equal(parsePlatform(text), undefined);
  });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { attribute, capability, reference, toWire } from '../../test/support/node/publish-call.ts';
import { parsePublishRequest } from './csi/publish-request.ts';

test('the same request has one fingerprint, whatever the order of its parts and the keys of Kubernetes', () => {
  const key = fc.constantFrom('pullPolicy', 'unpack', 'subPath', 'include', 'exclude', 'platform');
  const values: Readonly<Record<string, string>> = {
    pullPolicy: 'Never',
    unpack: 'never',
    subPath: 'a',
    include: '*.json',
    exclude: '*.bin',
    platform: 'linux/amd64',
  };
  fc.assert(
    fc.property(
      fc.uniqueArray(key),
      fc.dictionary(fc.string(), fc.string()),
      fc.infiniteStream(fc.nat()),
      (keys, noise, random) => {
        const entries = [
          ...keys.map((name): [string, string] => [name, values[name] ?? '']),
          ['reference', reference] as const,
        ];
        const kubernetes = Object.entries(noise).map(
          ([name, value]) => [`storage.kubernetes.io/${name}`, value] as const,
        );
        const shuffled = [...entries, ...kubernetes]
          .map(entry => ({ entry, at: random.next().value }))
          .sort((a, b) => a.at - b.at)
          .map(({ entry }) => entry);
        const plain = toWire({
          volume_context: Object.fromEntries(entries),
          volume_capability: capability(['ro', 'noexec']),
        });
        const other = toWire({
          volume_context: Object.fromEntries(shuffled),
          volume_capability: capability(['noexec', 'ro']),
          secrets: { password: 'another' },
        });
        assert.equal(parsePublishRequest(plain).fingerprint, parsePublishRequest(other).fingerprint);
      },
    ),
  );
});

test('another volume, mode, flag or attribute is another request', () => {
  const requests = [
    toWire(),
    toWire({ volume_id: 'csi-2' }),
    toWire({ readonly: false }),
    toWire({ volume_capability: capability([], 'MULTI_NODE_READER_ONLY') }),
    toWire({ volume_capability: capability(['noexec']) }),
    toWire(attribute('subPath', 'a')),
    toWire(attribute('subPath', 'b')),
    toWire({ volume_context: { reference: 'registry.test/org/model:v2' } }),
  ];
  const fingerprints = new Set(requests.map(wire => parsePublishRequest(wire).fingerprint));
  assert.equal(fingerprints.size, requests.length);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  attribute,
  capability,
  pod,
  reference,
  targetPath,
  toWire,
  uid,
} from '../../../test/support/node/publish-call.ts';
import { tokensKey } from '../../oci/credential.ts';
import { ArtifactError } from '../../util/error.ts';
import type { NodePublishVolumeRequest__Output as Wire } from '../wire/csi/v1/NodePublishVolumeRequest.ts';
import { parseAskedVolume, parsePublishRequest } from './publish-request.ts';

function refusalOf(wire: Wire): string {
  try {
    parsePublishRequest(wire);
  } catch (error) {
    assert.ok(error instanceof ArtifactError);
    assert.equal(error.code, 'invalid');
    return error.message;
  }
  throw new Error('it was taken');
}

test('a volume needs only a reference', () => {
  const { fingerprint: _, ...request } = parsePublishRequest(toWire());
  assert.deepEqual(request, {
    reference,
    selection: { unpack: 'auto', include: [], exclude: [] },
    secrets: {},
    volumeId: 'csi-1',
    targetPath,
    anywhere: false,
    mountFlags: [],
    caller: 'pod',
    podUnknown:
      'the volume context has no csi.storage.k8s.io/pod.uid and no csi.storage.k8s.io/pod.name and no csi.storage.k8s.io/pod.namespace; set podInfoOnMount: true in the CSIDriver object, so that kubelet tells',
  });
});

test('every attribute arrives in its domain form', () => {
  const { pullPolicy, platform, selection } = parsePublishRequest(
    toWire({
      volume_context: {
        reference,
        pullPolicy: 'Never',
        platform: 'linux/arm64/v8',
        unpack: 'never',
        subPath: './weights//fp16/',
        include: '*.json, weights/**',
        exclude: '*.bin',
      },
    }),
  );
  assert.equal(pullPolicy, 'Never');
  assert.deepEqual(platform, { os: 'linux', architecture: 'arm64', variant: 'v8' });
  assert.deepEqual(selection, {
    unpack: 'never',
    include: ['*.json', 'weights/**'],
    exclude: ['*.bin'],
    subPath: 'weights/fp16',
  });
});

const long = 'x'.repeat(4097);

const refused: readonly (readonly [string, Partial<Wire>, RegExp])[] = [
  ['no volume id', { volume_id: '' }, /^volume_id is missing; the caller must/],
  [
    'a volume id that is too long',
    { volume_id: 'x'.repeat(1025) },
    /must be at most 1024 bytes, without control/,
  ],
  ['no target path', { target_path: '' }, /^target_path is missing; the caller must/],
  ['the root as a target', { target_path: '/' }, /^target_path cannot be \/ itself; give/],
  ['a relative target', { target_path: 'pods/x' }, /must be absolute/],
  ['a target with ..', { target_path: '/pods/../etc' }, /with no empty part, "\.", "\.\."/],
  ['a target with a control character', { target_path: '/pods/\n' }, /\\x0a.*must be absolute/],
  ['a target that is too long', { target_path: `/${long}` }, /at most 4095 bytes/],
  [
    'no capability',
    { volume_capability: null },
    /^volume_capability is missing; the caller must ask for a mount/,
  ],
  ['no access type', { volume_capability: { access_mode: null } }, /names no access type; the caller must/],
  [
    'a block device',
    { volume_capability: { block: {}, access_mode: null, access_type: 'block' } },
    /set volumeMode: Filesystem in the PersistentVolume and its claim/,
  ],
  [
    'a foreign mount flag',
    { volume_capability: capability(['ro', 'exec']) },
    /"exec": must be one of ro, noexec.*; remove it/,
  ],
  ['no reference', { volume_context: {} }, /reference is missing; set it to/],
  ['an empty reference', { volume_context: { reference: '' } }, /reference "": must be the artifact/],
  ['a reference that is none', { volume_context: { reference: 'UPPER/case' } }, /UPPER\/case/],
  [
    'an unknown attribute',
    attribute('pullpolicy', 'Always'),
    /no volume attribute "pullpolicy" \(did you mean pullPolicy\?\); those that exist are reference, pullPolicy, platform, unpack, subPath, include, exclude, loading$/,
  ],
  ['defaultMode', attribute('defaultMode', '0444'), /defaultMode is reserved .*; leave it out/],
  [
    'another pull policy',
    attribute('pullPolicy', 'always'),
    /pullPolicy "always": must be Always, IfNotPresent or Never/,
  ],
  ['another unpack', attribute('unpack', 'true'), /unpack "true": must be auto, never or always/],
  ['an absolute subPath', attribute('subPath', '/a'), /subPath "\/a": must be a path relative/],
  ['a subPath with ..', attribute('subPath', 'a/../../b'), /with no "\.\." in it/],
  ['a subPath of nothing', attribute('subPath', './/'), /is the whole artifact; leave it out/],
  [
    'an empty glob',
    attribute('include', '*.json,,x'),
    /include .*: must be globs with one comma between them/,
  ],
  [
    'a platform that is none',
    attribute('platform', 'arm64'),
    /invalid volume attribute platform "arm64": must be os\/arch/,
  ],
  ['an empty value', attribute('exclude', ''), /exclude "": must not be empty; leave it out/],
  ['a line end', attribute('include', 'a\nb'), /"a\\x0ab": must have no control characters/],
  ['a value that is too long', attribute('subPath', long), /must have at most 4096 bytes/],
  [
    'the uid of another pod',
    { volume_context: { ...pod, reference, 'csi.storage.k8s.io/pod.uid': 'other' } },
    /pod\.uid is "other", but the target path is of the pod 0b4f9a3e.*; remove that attribute .*podInfoOnMount/,
  ],
];

for (const [what, changes, message] of refused) {
  test(`${what} is refused with what to do`, () => {
    assert.match(refusalOf(toWire(changes)), message);
  });
}

test('what may be a secret in a mount flag is not shown', () => {
  const text = refusalOf(toWire({ volume_capability: capability(['password=hunter22']) }));
  assert.match(text, /mount flag "password": must be/);
  assert.doesNotMatch(text, /hunter22/);
});

test('mount flags arrive once each', () => {
  const { mountFlags } = parsePublishRequest(
    toWire({ volume_capability: capability(['ro', 'noexec', 'ro']) }),
  );
  assert.deepEqual(mountFlags, ['noexec', 'ro']);
});

test('keys of Kubernetes are never unknown', () => {
  const volume_context = {
    reference,
    'csi.storage.k8s.io/anything': 'x',
    'storage.kubernetes.io/csiProvisionerIdentity': '',
    'csi.storage.k8s.io/ephemeral': 'true',
  };
  assert.equal(parsePublishRequest(toWire({ volume_context })).reference, reference);
});

test('the pod has the uid of the target path, or is unknown', () => {
  const { pod: known } = parsePublishRequest(
    toWire({ volume_context: { ...pod, reference, 'csi.storage.k8s.io/serviceAccount.name': 'default' } }),
  );
  assert.deepEqual(known, { namespace: 'shop', name: 'web-0', uid, serviceAccount: 'default' });
  const { 'csi.storage.k8s.io/pod.uid': _, ...forged } = pod;
  const { 'csi.storage.k8s.io/pod.name': __, ...nameless } = forged;
  const elsewhere = toWire({ target_path: '/tmp/csi/target', volume_context: { ...pod, reference } });
  for (const [wire, why] of [
    [
      toWire({ volume_context: { ...forged, reference } }),
      'the volume context has no csi.storage.k8s.io/pod.uid; set podInfoOnMount: true in the CSIDriver object, so that kubelet tells',
    ],
    [
      toWire({ volume_context: { ...nameless, reference } }),
      'the volume context has no csi.storage.k8s.io/pod.uid and no csi.storage.k8s.io/pod.name; set podInfoOnMount: true in the CSIDriver object, so that kubelet tells',
    ],
    [elsewhere, 'the target path must be …/pods/UID/volumes/kubernetes.io~csi/NAME/mount'],
  ] as const) {
    const { pod: unknown, podUnknown } = parsePublishRequest(wire);
    assert.deepEqual([unknown, podUnknown], [undefined, why]);
  }
});

test('tokens are secrets, wherever kubelet puts them; a secret of the pod does not replace them', () => {
  const inContext = parsePublishRequest(
    toWire({ volume_context: { reference, [tokensKey]: 'from context' } }),
  );
  assert.deepEqual(inContext.secrets, { [tokensKey]: 'from context' });
  assert.doesNotMatch(inContext.fingerprint, /from context/);
  const inBoth = toWire({
    secrets: { [tokensKey]: 'from secrets' },
    volume_context: { reference, [tokensKey]: 'from context' },
  });
  assert.deepEqual(parsePublishRequest(inBoth).secrets, { [tokensKey]: 'from context' });
});

test('any volume context gives a request or a readable refusal', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string({ unit: 'binary' })), context => {
      try {
        const { reference: text } = parsePublishRequest(
          toWire({ volume_context: { ...context, reference } }),
        );
        assert.equal(text, reference);
      } catch (error) {
        assert.ok(error instanceof ArtifactError && error.code === 'invalid');
        assert.doesNotMatch(error.message, /\p{Cc}/u);
      }
    }),
  );
});

const ofPod = { namespace: 'shop', name: 'web-0', uid };

/** What is known of a request that is wrong. */
const askedFor: readonly (readonly [string, Partial<Wire>, object | undefined])[] = [
  ['all of it', { volume_context: { ...pod, reference, x: 'y' } }, { reference, pod: ofPod }],
  ['its pod', { volume_context: pod }, { reference: '', pod: ofPod }],
  ['a reference that is none', { volume_context: { reference: 'UPPER/case' } }, { reference: 'UPPER/case' }],
  [
    'its reference alone, if its pod is another one',
    { volume_context: { ...pod, reference, 'csi.storage.k8s.io/pod.uid': 'other' } },
    { reference },
  ],
  [
    'its secrets, wherever they are',
    { secrets: { username: 'me' }, volume_context: { reference, [tokensKey]: '{}' } },
    { reference, secrets: { username: 'me', [tokensKey]: '{}' } },
  ],
  ['nothing, if its target path is wrong', { target_path: 'pods/x' }, undefined],
];

for (const [what, changes, expected] of askedFor) {
  test(`of a request that is wrong, this is known: ${what}`, () => {
    const asked = parseAskedVolume(toWire(changes));
    assert.deepEqual(asked, expected && { targetPath, secrets: {}, ...expected });
  });
}

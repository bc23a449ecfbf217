import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { openKeychain } from '../../src/credentials/keychain.ts';
import { openProviders } from '../../src/credentials/providers.ts';
import { parsePublishRequest } from '../../src/grpc/csi/publish-request.ts';
import { type Credential, type Keyring, tokensKey } from '../../src/oci/credential.ts';
import { type Digest, toDigest } from '../../src/oci/digest.ts';
import type { Manifest } from '../../src/oci/manifest.ts';
import { planLayers } from '../../src/oci/plan.ts';
import type { Accesses } from '../../src/ports/records.ts';
import type { Registry } from '../../src/ports/registry.ts';
import type { Pod, PullRequest, Selection } from '../../src/ports/request.ts';
import { ArtifactError } from '../../src/util/error.ts';
import { doAtOnce } from '../../src/util/pace.ts';
import { openAccessCache } from '../../src/volume/access/access-cache.ts';
import { createAccessCheck } from '../../src/volume/access/access-check.ts';
import { parseAttributes } from '../../src/volume/attributes.ts';
import { viewKey } from '../../src/volume/pull/view-plan.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { pod, podsOf } from '../support/node/pods.ts';
import { targetPath, toWire, uid } from '../support/node/publish-call.ts';
import { openSetting } from '../support/node/setting.ts';
import { sha256, tarOf } from '../support/oci/tar.ts';

/** Requests that may not share a view, a download or a right, and would if their keys were only put together. */

const { registry, node, daemon } = await openSetting();
const signal = new AbortController().signal;
const digestOf = (nth: number): Digest => toDigest('sha256', String(nth).padStart(64, '0'));
/** Text that keys are put together with, and secrets that would be the same text if they only were. */
const parts = ['', 'a', 'b', 'ab', '"', ',', ' ', 'a"', '","', '":"', '"],["', 'a=b', 'a b'];
const cuts: readonly Record<string, string>[] = [
  ...parts.flatMap(key => parts.map(value => ({ [key]: value }))),
  ...parts.map(value => ({ a: value, b: '' })),
  ...parts.slice(1).flatMap(value => [
    { a: '', b: value },
    { a: 'b', b: value },
  ]),
];

describe('the key of a view', () => {
  const manifest: Manifest = {
    kind: 'manifest',
    mediaType: '',
    artifactType: 'application/x.thing',
    config: { mediaType: '', digest: digestOf(0), size: 2, annotations: {} },
    layers: ['a', 'b', 'a/b', '"', ',', 'a,b', 'b,a', '[]', ' ', 'a b'].map((name, nth) => ({
      mediaType: nth % 2 === 0 ? 'application/vnd.oci.image.layer.v1.tar' : '',
      digest: digestOf(nth),
      size: 1,
      annotations: {
        'org.opencontainers.image.title': name,
        'io.deis.oras.content.unpack': String(nth % 3 === 0),
      },
    })),
    annotations: {},
  };
  /** What a view of this would be made of. */
  const madeOf = (selection: Selection): unknown => {
    try {
      return [doAtOnce(planLayers(manifest, undefined, selection, 'r')), selection.subPath ?? ''];
    } catch (thrown) {
      assert.ok(thrown instanceof ArtifactError);
      return thrown.code;
    }
  };
  const some = fc.array(fc.constantFrom('a', 'b', 'a/b', '"', 'a b', '[]', '","', '*', ' '), {
    maxLength: 3,
  });
  const selection = fc.record({
    unpack: fc.constantFrom('auto' as const, 'never' as const),
    include: some,
    exclude: some,
    subPath: fc.constantFrom('a', 'b', 'a/b', '"', '],["'),
  });

  test('is equal only for views of the same content', () => {
    const made = new Map<string, unknown>();
    fc.assert(
      fc.property(selection, fc.boolean(), (whole, withPath) => {
        const { subPath, ...root } = whole;
        const wanted = withPath ? { ...root, subPath } : root;
        const key = viewKey(digestOf(1), wanted);
        const now = madeOf(wanted);
        assert.deepEqual(made.get(key) ?? now, now);
        made.set(key, now);
        assert.notEqual(viewKey(digestOf(2), wanted), key);
      }),
      { numRuns: 3000 },
    );
  });

  test('differs if a part moves from one attribute to another', () => {
    const keyOf = (attributes: Record<string, string>): string =>
      viewKey(digestOf(1), parseAttributes({ reference: 'r.io/a/b:v1', ...attributes }).selection);
    const different = [
      {},
      { include: 'a' },
      { exclude: 'a' },
      { subPath: 'a' },
      { unpack: 'never' },
      { include: 'a,b' },
      { include: 'a', exclude: 'b' },
      { include: 'b', exclude: 'a' },
      { include: 'a', subPath: 'b' },
      { exclude: 'a', subPath: 'b' },
      { subPath: 'a/b' },
      { subPath: 'A/b' },
    ];
    assert.equal(new Set(different.map(keyOf)).size, different.length);
    assert.equal(keyOf({ subPath: './a//b/' }), keyOf({ subPath: 'a/b' }));
    assert.equal(keyOf({ include: 'b, a' }), keyOf({ include: 'a,b' }));
  });
});

test('keyrings have the same id only if they have the same credentials', () => {
  using keychain = openKeychain({
    pods: podsOf(),
    providers: means => openProviders({ config: '/absent', directory: '/absent' }, means),
    salt: 'salt',
  });
  const whom = (namespace: string, serviceAccount: string): Pod => ({ ...pod, namespace, serviceAccount });
  const callers = [
    ...cuts.map(secrets => ({ secrets, pod })),
    ...parts.flatMap(one => parts.map(other => ({ secrets: {}, pod: whom(one, other) }))),
    ...parts.map(uidOfPod => ({ secrets: {}, pod: { ...pod, uid: uidOfPod } })),
    ...parts.map(tokens => ({ secrets: { [tokensKey]: tokens }, pod })),
    { secrets: {} },
  ];
  assert.equal(new Set(callers.map(caller => keychain.open(caller).id)).size, callers.length);
});

describe('a remembered access', () => {
  const nowhere: Accesses = { put: async () => {}, remove: async () => {}, list: async () => [] };
  const reference = { registry: 'r.io', path: 'team/model', tag: 'v1' };
  const resolution = {
    reference,
    descriptor: { mediaType: '', digest: digestOf(1), size: 1, annotations: {} },
  };
  const request: Omit<PullRequest, 'secrets'> = {
    reference: 'r.io/team/model:v1',
    selection: { unpack: 'auto', include: [], exclude: [] },
    caller: 'pod',
  };
  const nobody: Keyring = {
    id: '',
    find: async () => ({ kind: 'anonymous', holder: { kind: 'anyone' }, source: '' }),
  };
  const refusing = {
    resolve: async () => {
      throw new ArtifactError('unauthenticated', 'no');
    },
  } as unknown as Registry;
  const open = async () => createAccessCheck(await openAccessCache(nowhere, 'salt'), refusing);
  const opened = (holder: Credential['holder']) => ({
    ...resolution,
    credential: { kind: 'basic', username: '', password: '', source: '', holder } as const,
    servedBy: {},
  });

  test("by a pod's own pull secret does not admit another pod that has the same secret in its call", async () => {
    const docker = JSON.stringify({ auths: { 'r.io': { username: 'u', password: 'p' } } });
    const secrets = { '.dockerconfigjson': '{"auths":{}}' };
    const stranger: Pod = { ...pod, uid: 'u-2', namespace: 'evil' };
    using keychain = openKeychain({ pods: podsOf({ name: 'pull', data: { '.dockerconfigjson': docker } }) });
    const endpoint = { host: 'r.io', path: 'team/model', insecure: false };
    const credential = await keychain.open({ secrets, pod }).find(endpoint, signal);
    assert.equal(credential.kind, 'basic');
    const access = await open();
    await access.admit(
      { ...resolution, credential, servedBy: {} },
      { ...request, secrets, pod },
      nobody,
      signal,
    );
    await access.admit(resolution, { ...request, secrets, pod }, nobody, signal);
    for (const asking of [{ secrets, pod: stranger }, { secrets }, { secrets: {}, pod: stranger }]) {
      await assert.rejects(access.admit(resolution, { ...request, ...asking }, nobody, signal), {
        code: 'unauthenticated',
      });
    }
  });

  test('applies to exactly its secrets, however they are split', async () => {
    for (const hers of cuts.filter((_, nth) => nth % 5 === 0)) {
      const access = await open();
      await access.admit(opened({ kind: 'secret' }), { ...request, secrets: hers }, nobody, signal);
      for (const mine of [...cuts, {}]) {
        const asked = access.admit(resolution, { ...request, secrets: mine }, nobody, signal);
        if (mine === hers) await asked;
        else await assert.rejects(asked, { code: 'unauthenticated' });
      }
    }
  });

  test('of a service account applies to that account only', async () => {
    const access = await open();
    const holder = { kind: 'service-account', namespace: 'shop', name: 'builder' } as const;
    const builder: Pod = { ...pod, serviceAccount: 'builder' };
    await access.admit(opened(holder), { ...request, secrets: {}, pod: builder }, nobody, signal);
    await access.admit(
      resolution,
      { ...request, secrets: {}, pod: { ...builder, uid: 'u-9' } },
      nobody,
      signal,
    );
    for (const other of [
      { ...builder, namespace: 'evil' },
      { ...builder, serviceAccount: 'other' },
      pod,
      { namespace: 'shop', name: 'shop/builder', uid: 'shop/builder' },
    ]) {
      await assert.rejects(
        access.admit(resolution, { ...request, secrets: {}, pod: other }, nobody, signal),
        { code: 'unauthenticated' },
      );
    }
  });
});

test('the pod of a volume is the pod of its target path, or unknown', () => {
  const kubernetes = (key: string): string => `csi.storage.k8s.io/${key}`;
  const value = fc.oneof(
    fc.constantFrom('', uid, `${uid} `, `${uid}\0`, uid.toUpperCase(), '../x', 'kube-system'),
    fc.string({ unit: 'binary' }),
  );
  const said = fc.record(
    {
      [kubernetes('pod.uid')]: value,
      [kubernetes('pod.name')]: value,
      [kubernetes('pod.namespace')]: value,
      [kubernetes('serviceAccount.name')]: value,
    },
    { requiredKeys: [] },
  );
  const path = fc.constantFrom(
    targetPath,
    targetPath.replace(uid, 'other'),
    '/pods/x/volumes/kubernetes.io~csi/v/mount',
    `/tmp${targetPath}/more`,
    '/tmp/target',
  );
  fc.assert(
    fc.property(said, path, (context, target_path) => {
      const wire = toWire({ target_path, volume_context: { reference: 'r.io/a/b:v1', ...context } });
      try {
        const { pod: found } = parsePublishRequest(wire);
        if (found === undefined) return;
        assert.ok(
          target_path.endsWith(
            `/pods/${found.uid}/volumes/kubernetes.io~csi/${target_path.split('/').at(-2)}/mount`,
          ),
        );
        assert.equal(context[kubernetes('pod.uid')], found.uid);
        assert.equal(context[kubernetes('pod.namespace')], found.namespace);
        assert.ok(found.namespace !== '' && found.name !== '' && found.serviceAccount !== '');
      } catch (thrown) {
        assert.ok(thrown instanceof ArtifactError && thrown.code === 'invalid', String(thrown));
      }
    }),
    { numRuns: 2000 },
  );
});

describe('concurrent pulls:', () => {
  const publish = async (reference: string, secrets: Record<string, string> = {}) => {
    const request = await publishRequest(node, { reference }, secrets);
    return outcomeOf(daemon.csi.NodePublishVolume(request));
  };

  test('a caller that is refused midway does not fail callers with access', async () => {
    const bytes = Buffer.alloc(600_000, 7);
    const { reference } = await registry.push('team/model', 'v1', [{ name: 'f', bytes }]);
    const auth = (name: string) => `Basic ${Buffer.from(`${name}:p`).toString('base64')}`;
    const waiting = Promise.withResolvers<void>();
    let asked = 0;
    registry.fault(({ method, path, headers }) => {
      if (headers.authorization === undefined)
        return {
          kind: 'raw',
          text: 'HTTP/1.1 401 No\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n',
        };
      if (method !== 'GET' || !path.endsWith(sha256(bytes))) return undefined;
      if (headers.authorization === auth('alice')) return undefined;
      // Half of it, then a second in which the other comes, then no more.
      if (++asked === 1) return { kind: 'cut', after: 300_000 };
      if (asked > 2) return { kind: 'status', status: 403 };
      waiting.resolve();
      return { kind: 'status', status: 429, retryAfter: '1' };
    });
    const mallory = publish(reference, { username: 'mallory', password: 'p' });
    await waiting.promise;
    const [hers, his] = await Promise.all([
      publish(reference, { username: 'alice', password: 'p' }),
      mallory,
    ]);
    assert.equal(hers.code, 'OK', hers.text);
    assert.equal(his.code, 'PERMISSION_DENIED', his.text);
    registry.fault(() => undefined);
  });

  test('a layer that another manifest had unpacked is still verified against this manifest', async () => {
    const bytes = await tarOf([[{ name: 'f' }, 'content']]);
    const mediaType = 'application/vnd.oci.image.layer.v1.tar';
    const promise = (digest: string) => ({ 'io.deis.oras.content.digest': digest });
    for (const [tag, annotations, code] of [
      ['none', {}, 'OK'],
      ['right', promise(sha256(bytes)), 'OK'],
      ['wrong', promise(sha256(Buffer.from('other'))), 'FAILED_PRECONDITION'],
    ] as const) {
      const { reference } = await registry.push('team/tar', tag, [{ bytes, mediaType, annotations }]);
      const outcome = await publish(reference);
      assert.equal(outcome.code, code, outcome.text);
    }
  });
});

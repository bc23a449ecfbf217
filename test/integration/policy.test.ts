import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { cosignSign, makeCosignKey } from '../support/signing/cosign.ts';
import { email, issuer, makeFulcio } from '../support/signing/fulcio.ts';
import { openTestLog } from '../support/signing/log.ts';
import { claimOf, signSimpleInLog } from '../support/signing/signing.ts';

describe('with a signature policy', needs('cosign', 'openssl'), () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let registry: FaultyRegistry;
  let node: TestNode;
  let daemon: TestDaemon;
  let work: string;
  let policy: string;
  let pushed = 0;

  const setPolicy = (requirement: object): Promise<void> =>
    writeFile(
      policy,
      JSON.stringify({
        default: [{ type: 'reject' }],
        transports: { docker: { [registry.host]: [requirement] } },
      }),
    );
  const signedBy = (key: string): object => ({
    type: 'sigstoreSigned',
    keyPath: join(work, `${key}.pub`),
    signedIdentity: { type: 'matchRepository' },
  });

  before(async () => {
    work = stack.use(await temporaryDirectory()).path;
    policy = join(work, 'policy.json');
    registry = stack.use(await openFaultyRegistry());
    node = stack.use(await testNode([registry.host]));
    await makeCosignKey('signer', work);
    await makeCosignKey('stranger', work);
    await setPolicy(signedBy('signer'));
    daemon = stack.use(await startDaemon(node, { flags: { '--policy': policy } }));
  });

  /** A new artifact, signed by these keys. */
  async function push(...keys: readonly string[]): Promise<string> {
    const repository = `models/m${++pushed}`;
    const { reference, digest } = await registry.push(repository, 'v1', [
      { name: 'f', bytes: Buffer.from(`model ${pushed}`) },
    ]);
    for (const key of keys) await cosignSign('tag', key, `${registry.host}/${repository}@${digest}`, work);
    return reference;
  }

  async function publish(
    reference: string,
    attributes: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const request = await publishRequest(node, { reference, ...attributes });
    await daemon.csi.NodePublishVolume(request);
    return request.target_path;
  }

  test('a signed artifact is mounted', async () => {
    assert.match(readFileSync(join(await publish(await push('signer')), 'f'), 'utf8'), /^model/);
  });

  test('an artifact that is unsigned or signed by another key is refused before its download', async () => {
    for (const reference of [await push(), await push('stranger')]) {
      const before = registry.asked.filter(
        ({ method, path }) => method === 'GET' && path.includes('/blobs/'),
      ).length;
      await assert.rejects(publish(reference), /PERMISSION_DENIED.*policy\.json/s);
      const after = registry.asked.filter(
        ({ method, path }) => method === 'GET' && path.includes('/blobs/'),
      ).length;
      assert.ok(after - before <= 1, 'but for the payload of a signature');
    }
  });

  test('a signed artifact is mounted again without the network, also after a restart', async () => {
    const reference = await push('signer');
    await publish(reference);
    registry.fault(() => ({ kind: 'status', status: 404 }));
    await publish(reference, { pullPolicy: 'Never' });
    await daemon[Symbol.asyncDispose]();
    daemon = stack.use(await startDaemon(node, { flags: { '--policy': policy } }));
    await publish(reference, { pullPolicy: 'Never' });
    registry.reset();
  });

  test('a bundle is accepted with matchDigest, also without the network, and refused otherwise', async () => {
    const host = registry.host;
    const { reference, digest } = await registry.push('bundled/model', 'v1', [
      { name: 'f', bytes: Buffer.from('bundled') },
    ]);
    await cosignSign('bundle', 'signer', `${host}/bundled/model@${digest}`, work);
    await assert.rejects(publish(reference), /PERMISSION_DENIED.*set signedIdentity matchDigest/s);
    const restart = async (more: Readonly<Record<string, string>> = {}) => {
      await daemon[Symbol.asyncDispose]();
      daemon = stack.use(await startDaemon(node, { flags: { '--policy': policy, ...more } }));
    };
    try {
      await restart({ '--bundle-identity': 'digest' });
      await publish(reference);
      await restart({ '--bundle-identity': 'digest' });
      registry.fault(() => ({ kind: 'status', status: 404 }));
      await publish(reference, { pullPolicy: 'Never' });
    } finally {
      registry.reset();
      await restart();
    }
    await assert.rejects(publish(reference), /PERMISSION_DENIED.*set signedIdentity matchDigest/s);
  });

  test('a certificate counts for its validity period only', async () => {
    const fulcio = makeFulcio(join(work, 'fulcio'));
    const log = openTestLog();
    const jane = fulcio.issue();
    const base64 = (pem: string): string => Buffer.from(pem).toString('base64');
    await setPolicy({
      type: 'sigstoreSigned',
      fulcio: {
        caData: base64(fulcio.root + fulcio.intermediate),
        oidcIssuer: issuer,
        subjectEmail: email,
      },
      rekorPublicKeyData: base64(log.pem),
      signedIdentity: { type: 'matchRepository' },
    });
    const part = async (mediaType: string, bytes: Buffer) => ({
      mediaType,
      digest: await registry.registry.putBlob('keyless/model', bytes),
      size: bytes.length,
    });
    const signAt = async (tag: string, days: number): Promise<string> => {
      const { reference, digest } = await registry.push('keyless/model', tag, [
        { name: 'f', bytes: Buffer.from(tag) },
      ]);
      const time = new Date(Date.now() + days * 24 * 3600 * 1000);
      const claim = claimOf(`${registry.host}/keyless/model`, digest);
      const { payload, annotations } = signSimpleInLog(claim, jane, log, time);
      const layer = await part('application/vnd.dev.cosign.simplesigning.v1+json', Buffer.from(payload));
      const manifest = {
        schemaVersion: 2,
        config: await part('application/vnd.oci.image.config.v1+json', Buffer.from('{}')),
        layers: [{ ...layer, annotations }],
      };
      const type = 'application/vnd.oci.image.manifest.v1+json';
      const bytes = Buffer.from(JSON.stringify({ mediaType: type, ...manifest }));
      await registry.registry.putManifest('keyless/model', `${digest.replace(':', '-')}.sig`, type, bytes);
      return reference;
    };
    try {
      assert.equal(readFileSync(join(await publish(await signAt('in-time', 0.5)), 'f'), 'utf8'), 'in-time');
      await assert.rejects(
        publish(await signAt('too-late', 3)),
        /PERMISSION_DENIED.*its certificate had expired, or was not valid yet: .*sign again/s,
      );
    } finally {
      await setPolicy(signedBy('signer'));
    }
  });

  test('a changed policy applies to new mounts, keeps existing ones, and reports them', async () => {
    const reference = await push('signer');
    const request = await publishRequest(node, { reference });
    await daemon.csi.NodePublishVolume(request);
    await setPolicy(signedBy('stranger'));
    try {
      await assert.rejects(publish(reference), /PERMISSION_DENIED/);
      await daemon.csi.NodePublishVolume(request);
      const { volumes } = await daemon.artifacts.ListVolumes({});
      const volume = volumes?.find(({ target_path }) => target_path === request.target_path);
      assert.match(volume?.refused ?? '', /policy\.json/);
      const metrics = await (await fetch(`${daemon.http}/metrics`)).text();
      assert.match(metrics, /^oci_artifact_csi_volumes_refused [1-9]/m);
      const stats = { volume_id: request.volume_id, volume_path: request.target_path };
      const condition = (await daemon.csi.NodeGetVolumeStats(stats)).volume_condition;
      assert.equal(condition?.abnormal, true);
      assert.match(
        condition.message ?? '',
        /^it stays as it is, and a new pod would be refused it: .*policy\.json/,
      );
      const { verdict } = await daemon.artifacts.Inspect({ reference });
      assert.match(verdict ?? '', /^refused: /);
    } finally {
      await setPolicy(signedBy('signer'));
    }
    await publish(reference);
    assert.match((await daemon.artifacts.Inspect({ reference })).verdict ?? '', /^accepted: /);
  });

  test('an unreadable policy refuses everything, and reports it', async () => {
    const reference = await push('signer');
    await writeFile(policy, '{');
    try {
      await assert.rejects(publish(reference), /PERMISSION_DENIED.*policy\.json/s);
    } finally {
      await setPolicy(signedBy('signer'));
    }
    await publish(reference);
  });
});

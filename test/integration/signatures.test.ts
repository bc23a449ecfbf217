import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Digest, parseDigest } from '../../src/oci/digest.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { doAtOnce } from '../../src/util/pace.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { startReferrersRegistry } from '../support/registry/referrers-registry.ts';
import { cosignAttest, cosignSign, makeCosignKey } from '../support/signing/cosign.ts';
import { listReferrers, openFetchedSource } from '../support/signing/fetched-signatures.ts';

const signal = new AbortController().signal;
/** A node with its configuration of bundles. */
type SignedNode = { readonly node: TestNode; readonly daemon: TestDaemon };

const matchRepository = { signedIdentity: { type: 'matchRepository' } };

const registries = {
  'a registry without the referrers API': startRealRegistry,
  'a registry with the referrers API': startReferrersRegistry,
};

for (const [what, start] of Object.entries(registries)) {
  describe(`signed with cosign, in ${what}`, needs('cosign', 'oras', 'registry'), () => {
    const stack = new AsyncDisposableStack();
    after(() => stack.disposeAsync());
    let host: string;
    let work: string;
    let strict: SignedNode;
    let enough: SignedNode;
    let pushed = 0;

    before(async () => {
      work = stack.use(await temporaryDirectory()).path;
      host = stack.use(await start()).host;
      await Promise.all([makeCosignKey('signer', work), makeCosignKey('stranger', work)]);
      await writeFile(join(work, 'policy.json'), JSON.stringify({ default: [{ type: 'reject' }] }));
      strict = await startNode({});
      enough = await startNode({ '--bundle-identity': 'digest' });
    });

    async function startNode(flags: Readonly<Record<string, string>>): Promise<SignedNode> {
      const node = stack.use(await testNode([host]));
      const policy = { '--policy': join(work, 'policy.json') };
      return { node, daemon: stack.use(await startDaemon(node, { flags: { ...policy, ...flags } })) };
    }

    /** A new artifact, `<repository>:1`. */
    async function push(repository: string): Promise<{ digest: Digest; name: string }> {
      pushed += 1;
      await writeFile(join(work, 'model'), `model ${pushed}`);
      const name = `${host}/${repository}`;
      const answer = await oras(['push', '--plain-http', '--format', 'json', `${name}:1`, 'model'], work);
      return { digest: parseDigest((JSON.parse(answer) as { digest: string }).digest), name };
    }

    /** Mounts `<repository>:1` where signer.pub must have signed it; what the node says of it then, or the refusal. */
    async function verdict(
      repository: string,
      digest: Digest,
      fields: object = {},
      { node, daemon }: SignedNode = strict,
    ): Promise<string> {
      const requirement = { type: 'sigstoreSigned', keyPath: join(work, 'signer.pub'), ...fields };
      const docker = { [`${host}/models`]: [requirement] };
      await writeFile(
        join(work, 'policy.json'),
        JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } }),
      );
      const reference = `${host}/${repository}:1`;
      const request = await publishRequest(node, { reference, pullPolicy: 'Always' });
      const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
      if (code !== 'OK') {
        assert.equal(code, 'PERMISSION_DENIED', text);
        assert.deepEqual(mountsBelow(request.target_path), []);
        return `refused: ${text}`;
      }
      assert.match(readFileSync(join(request.target_path, 'model'), 'utf8'), /^model \d+$/);
      const inspected = await daemon.artifacts.Inspect({ reference });
      assert.equal(inspected.digest, digest);
      return inspected.verdict ?? '';
    }

    test('the .sig tag is accepted under matchRepository, and names its key', async () => {
      const { digest, name } = await push('models/tag');
      await cosignSign('tag', 'signer', `${name}@${digest}`, work);
      assert.match(
        await verdict('models/tag', digest, matchRepository),
        /^accepted: the signature in tag sha256-\w+\.sig, made by .*keyPath \(.*signer\.pub\)$/,
      );
      assert.match(
        await verdict('models/tag', digest),
        /^refused: .*without a tag, as cosign does by default.*set signedIdentity matchRepository/,
      );
    });

    test('the .sig tag with the full reference in it is accepted under the default rule', async () => {
      const { digest, name } = await push('models/named');
      const identity = ['--sign-container-identity', `${name}:1`];
      await cosignSign('tag', 'signer', `${name}@${digest}`, work, identity);
      assert.match(await verdict('models/named', digest), /^accepted/);
    });

    test('a bundle is accepted with matchDigest, and refused otherwise', async () => {
      const { digest, name } = await push('models/bundle');
      await cosignSign('bundle', 'signer', `${name}@${digest}`, work);
      assert.match(
        await verdict('models/bundle', digest, {}, enough),
        /^accepted: the bundle sha256:\w+, made by .*signer\.pub\)$/,
      );
      assert.match(
        await verdict('models/bundle', digest, matchRepository),
        /^refused: .*signs a digest and no name.*set signedIdentity matchDigest/,
      );
    });

    test('an artifact with several signatures is accepted', async () => {
      const { digest, name } = await push('models/several');
      for (const key of ['stranger', 'signer', 'stranger']) {
        await cosignSign('tag', key, `${name}@${digest}`, work);
      }
      assert.match(await verdict('models/several', digest, matchRepository), /^accepted/);
    });

    test('an unsigned artifact is refused', async () => {
      const { digest } = await push('models/unsigned');
      assert.match(
        await verdict('models/unsigned', digest, matchRepository, enough),
        /^refused: .*it is not signed: there is no tag sha256-\w+\.sig, and no sigstore bundle refers to it/,
      );
    });

    test('an artifact signed by another key is refused', async () => {
      const { digest, name } = await push('models/stranger');
      await cosignSign('tag', 'stranger', `${name}@${digest}`, work);
      await cosignSign('bundle', 'stranger', `${name}@${digest}`, work);
      const why = await verdict('models/stranger', digest, matchRepository, enough);
      assert.match(
        why,
        /^refused: .*\.sig: no key that is trusted verifies it \(.*signer\.pub\)\): another key/,
      );
      assert.match(why, /the bundle sha256:\w+: it was made by another key than those that are trusted/);
    });

    test('a .sig of another digest is refused', async () => {
      const one = await push('models/digests');
      const other = await push('models/digests');
      await cosignSign('tag', 'signer', `${one.name}@${one.digest}`, work);
      const [from, to] = [one, other].map(({ digest }) => `${digest.replace(':', '-')}.sig`);
      await oras(['tag', '--plain-http', `${one.name}:${from}`, to ?? ''], work);
      assert.match(
        await verdict('models/digests', other.digest, matchRepository),
        new RegExp(`^refused: .*it signs another digest, "${one.digest}"; sign ${other.digest} itself`),
      );
    });

    test('a .sig of another repository is refused, unless the policy names it', async () => {
      const { digest, name } = await push('models/origin');
      await cosignSign('tag', 'signer', `${name}@${digest}`, work);
      for (const tag of ['1', `${digest.replace(':', '-')}.sig`]) {
        const plain = ['--from-plain-http', '--to-plain-http'];
        await oras(['cp', ...plain, `${name}:${tag}`, `${host}/models/copy:${tag}`], work);
      }
      assert.match(
        await verdict('models/copy', digest, matchRepository),
        /^refused: .*made for another repository, .*models\/origin, and matchRepository wants .*models\/copy/,
      );
      const signedIdentity = { type: 'exactRepository', dockerRepository: name };
      assert.match(await verdict('models/copy', digest, { signedIdentity }), /^accepted/);
    });

    test('a changed bundle is refused', async () => {
      const { digest, name } = await push('models/altered');
      const other = await push('models/altered');
      await cosignSign('bundle', 'signer', `${name}@${digest}`, work);
      const source = openFetchedSource(host, 'models/altered');
      const [descriptor] = await listReferrers(source, digest, signal);
      const manifest = doAtOnce(
        parseManifest(await source.manifest(descriptor, signal), descriptor.mediaType, ''),
      );
      const [layer] = manifest.kind === 'manifest' ? manifest.layers : [];
      assert.ok(layer);
      const bundle = Buffer.from(await source.blob(layer, signal)).toString();
      const payload = /(?<="payload":")[^"]+/.exec(bundle)?.[0] ?? '';
      const changed = Buffer.from(payload, 'base64')
        .toString()
        .replace(digest.slice(7), other.digest.slice(7));
      await writeFile(
        join(work, 'bundle.json'),
        bundle.replace(payload, Buffer.from(changed).toString('base64')),
      );
      const type = 'application/vnd.dev.sigstore.bundle.v0.3+json';
      await oras(
        ['attach', '--plain-http', '--artifact-type', type, `${name}@${other.digest}`, `bundle.json:${type}`],
        work,
      );
      assert.match(
        await verdict('models/altered', other.digest, {}, enough),
        /^refused: .*signer\.pub\) made it, and that key does not verify it: the bundle was altered/,
      );
    });

    test('an attestation is not accepted as a signature', async () => {
      const { digest, name } = await push('models/attested');
      await writeFile(join(work, 'predicate.json'), '{"failed": true}');
      await cosignAttest('signer', 'predicate.json', `${name}@${digest}`, work);
      assert.match(
        await verdict('models/attested', digest, {}, enough),
        /^refused: .*(it is an attestation \("https:\/\/example\.com\/tested"\)|it is not signed)/,
      );
    });

    test('a reference outside all scopes falls under the default', async () => {
      const { digest } = await push('elsewhere/model');
      assert.match(await verdict('elsewhere/model', digest), /^refused: .*by default\[0\] of .*rejects all/);
    });

    test('a private key in keyPath is refused', async () => {
      const { digest } = await push('models/private');
      assert.match(
        await verdict('models/private', digest, { keyPath: join(work, 'signer.key') }),
        /^refused: .*keyPath \(.*signer\.key\) must be one public key in PEM, as cosign\.pub is/,
      );
    });
  });
}

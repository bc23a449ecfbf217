import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { chunkListType } from '../../src/oci/plan.ts';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { sha256 } from '../support/oci/tar.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startReferrersRegistry } from '../support/registry/referrers-registry.ts';
import { cosignSign, makeCosignKey } from '../support/signing/cosign.ts';

const run = promisify(execFile);

describe('a chunk list that oras attached to an artifact', needs('root', 'cosign', 'oras'), () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let host: string;
  let work: string;
  let signed: TestDaemon;
  let covered: TestDaemon;
  let pushed = 0;

  before(async () => {
    work = stack.use(await temporaryDirectory()).path;
    host = stack.use(await startReferrersRegistry()).host;
    await Promise.all([makeCosignKey('signer', work), makeCosignKey('stranger', work)]);
    const requirement = {
      type: 'sigstoreSigned',
      keyPath: join(work, 'signer.pub'),
      signedIdentity: { type: 'matchRepository' },
    };
    const docker = {
      [`${host}/signed`]: [requirement],
      [`${host}/open`]: [{ type: 'insecureAcceptAnything' }],
    };
    const policy = join(work, 'policy.json');
    await writeFile(policy, JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } }));
    const start = async (which: string): Promise<TestDaemon> => {
      const node = stack.use(await testNode([host]));
      return stack.use(await startDaemon(node, { flags: { '--policy': policy, '--chunk-lists': which } }));
    };
    [signed, covered] = [await start('signed'), await start('manifest')];
  });

  const digestOf = (answer: string): string => (JSON.parse(answer) as { readonly digest: string }).digest;

  /** Pushes a signed artifact of one file, and attaches its list, which `signer` signs. */
  async function push(directory: string, signer?: string) {
    const name = `${host}/${directory}/model-${pushed++}`;
    const bytes = randomBytes(5 * 1024 * 1024);
    await writeFile(join(work, 'model.gguf'), bytes);
    for (const left of ['model.gguf.chunks', 'chunks.json']) await rm(join(work, left), { force: true });
    await run(process.execPath, [main, 'chunks', 'model.gguf'], { cwd: work });
    const options = ['--plain-http', '--format', 'json'];
    const artifact = digestOf(await oras(['push', ...options, `${name}:1`, 'model.gguf'], work));
    await cosignSign('tag', 'signer', `${name}@${artifact}`, work);
    const list = `model.gguf.chunks:${chunkListType}`;
    const attach = ['attach', ...options, '--artifact-type', chunkListType, `${name}:1`, list];
    const referrer = digestOf(await oras(attach, work));
    if (signer !== undefined) await cosignSign('tag', signer, `${name}@${referrer}`, work);
    return { reference: `${name}:1`, referrer, digest: sha256(bytes) };
  }

  /** Mounts an artifact, whose bytes must be right; returns whether its file came by chunk. */
  async function isUsed(
    daemon: TestDaemon,
    { reference, digest }: Awaited<ReturnType<typeof push>>,
  ): Promise<boolean> {
    const { node, csi } = daemon;
    const request = await publishRequest(node, { reference, loading: 'onDemand' });
    await csi.NodePublishVolume(request);
    const [key = ''] = await readdir(join(node.stateDir, 'late'));
    const record = await readFile(join(node.stateDir, 'late', key, 'record'), 'utf8');
    const { byChunk = [] } = JSON.parse(record) as {
      readonly byChunk?: readonly { readonly list?: string }[];
    };
    // In another process: a read may wait for this one, which is the registry.
    const { stdout } = await run('sha256sum', [join(request.target_path, 'model.gguf')], { timeout: 60_000 });
    assert.equal(`sha256:${stdout.split(' ')[0]}`, digest);
    await csi.NodeUnpublishVolume(request);
    return byChunk.some(({ list }) => list !== undefined);
  }

  const logged = (referrer: string): string =>
    signed
      .output()
      .split('\n')
      .filter(line => line.includes(`the chunk lists of ${referrer}`))
      .join('\n');

  test('counts where the policy demands a signature that it has', async () => {
    const sample = await push('signed', 'signer');
    assert.equal(await isUsed(signed, sample), true, signed.output());
    assert.equal(logged(sample.referrer), '');
  });

  test('does not count where it is not signed, or signed by somebody else, and the log says why', async () => {
    const unsigned = await push('signed');
    assert.equal(await isUsed(signed, unsigned), false);
    assert.match(
      logged(unsigned.referrer),
      /do not count: .* is refused by .*policy\.json: it is not signed/,
    );
    const strange = await push('signed', 'stranger');
    assert.equal(await isUsed(signed, strange), false);
    assert.match(logged(strange.referrer), /do not count: .* is refused by .*policy\.json/);
  });

  test('does not count where the policy demands no signature, although it has one, and the log says so', async () => {
    const sample = await push('open', 'signer');
    assert.equal(await isUsed(signed, sample), false);
    assert.match(logged(sample.referrer), /do not count: no signature policy demands that .* is signed/);
  });

  test('does not count where --chunk-lists is manifest', async () => {
    assert.equal(await isUsed(covered, await push('signed', 'signer')), false);
  });
});

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { standInBase } from '../support/image/stand-in.ts';
import { copyProject } from '../support/image/stand-in-image.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { makeCosignKey } from '../support/signing/cosign.ts';
import { type ImageConfig, mediaTypes, writeLayoutIndex } from '../tools/image/layout.ts';
import type { Sbom } from '../tools/image/sbom.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const tools = needs('root', 'runc', 'buildkitd', 'buildctl', 'oras', 'cosign', 'registry', 'helm');
const maxBuffer = 64 << 20;
const author = ['-c', 'user.name=a', '-c', 'user.email=a@example.com'];

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

async function run(program: string, args: readonly string[], cwd: string): Promise<Ran> {
  const env = { ...process.env, HOME: cwd, DOCKER_CONFIG: cwd, COSIGN_PASSWORD: '' };
  // npm has its cache and its configuration in the directory of the user.
  const own = {
    npm_config_cache: process.env['npm_config_cache'] ?? join(process.env['HOME'] ?? '/root', '.npm'),
  };
  return promisify(execFile)(program, [...args], { cwd, env: { ...env, ...own }, maxBuffer }).then(
    ran => ({ code: 0, ...ran }),
    (error: Ran) => error,
  );
}

describe('a release', tools, () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let work: string;
  let source: string;
  let host: string;
  let base: string;
  let args: readonly string[];
  let released: Ran;
  const release = async (line: readonly string[]): Promise<Ran> =>
    run(process.execPath, [join(source, 'test/tools/release/main.ts'), ...line], work);
  const verify = async (
    command: string,
    key: string,
    subject: string,
    ...more: readonly string[]
  ): Promise<Ran> => {
    const offline = ['--insecure-ignore-tlog', '--allow-http-registry'];
    return run(toolPath('cosign'), [command, '--key', `${key}.pub`, ...offline, ...more, subject], work);
  };

  before(async () => {
    work = stack.use(await temporaryDirectory()).path;
    host = stack.use(await startRealRegistry()).host;
    source = commitSources(join(work, 'project'));
    await makeCosignKey('signer', work);
    await makeCosignKey('stranger', work);
    base = await pushBase();
    const options = ['--key', 'signer.key', '--base', base, '--plain-http', '--no-emulation'];
    args = [`${host}/csi`, ...options, '--', '--tlog-upload=false', '--use-signing-config=false'];
    released = await release(args);
    assert.equal(released.code, 0, released.stderr);
  });

  /** The sources as they are, as the commit of a repository. */
  function commitSources(to: string): string {
    copyProject(to, '022');
    symlinkSync(join(root, '.tools'), join(to, '.tools'));
    const git = (...line: readonly string[]): void => void execFileSync('git', line, { cwd: to });
    git('init', '--quiet');
    writeFileSync(join(to, '.git/info/exclude'), '.tools\n');
    git('add', '--all');
    git(...author, 'commit', '--quiet', '--message=all');
    return to;
  }

  async function pushBase(): Promise<string> {
    const { layout, digest, size } = await standInBase(['amd64', 'arm64']);
    const directory = join(work, 'base');
    mkdirSync(directory);
    symlinkSync(join(layout, 'blobs'), join(directory, 'blobs'));
    writeLayoutIndex(directory, { mediaType: mediaTypes.index, digest, size });
    await oras(
      ['copy', '--to-plain-http', '--from-oci-layout', `${directory}@${digest}`, `${host}/node:debian13`],
      work,
    );
    return `${host}/node:debian13@${digest}`;
  }

  /** What was released, by repository and tag. */
  function digestOf(name: string): string {
    const line = released.stdout.split('\n').find(text => text.startsWith(`${host}/csi/${name}@`));
    return line?.slice(line.indexOf('@') + 1) ?? '';
  }

  test('reports each tag with its digest, and is the same when it is repeated', async () => {
    const image = digestOf(`oci-artifact-csi:${version}`);
    const chart = digestOf(`charts/oci-artifact-csi:${version}`);
    const [repository, charts] = [`${host}/csi/oci-artifact-csi`, `${host}/csi/charts/oci-artifact-csi`];
    assert.equal(
      released.stdout,
      `${repository}:${version}@${image}\n${repository}:${version}-debian13@${image}\n${charts}:${version}@${chart}\n`,
    );
    const again = await release(args);
    assert.deepEqual([again.code, again.stdout], [0, released.stdout], again.stderr);
  });

  test('is signed: image, chart, and the image of each platform', async () => {
    const subjects = [
      `oci-artifact-csi:${version}`,
      `oci-artifact-csi:${version}-debian13`,
      `charts/oci-artifact-csi:${version}`,
      ...(await platforms()).map(({ digest }) => `oci-artifact-csi@${digest}`),
    ];
    for (const name of subjects) {
      const good = await verify('verify', 'signer', `${host}/csi/${name}`);
      assert.equal(good.code, 0, good.stderr);
      assert.notEqual((await verify('verify', 'stranger', `${host}/csi/${name}`)).code, 0, name);
    }
  });

  type Platform = { readonly digest: string; readonly platform: { readonly architecture: string } };

  async function platforms(): Promise<readonly Platform[]> {
    const subject = `${host}/csi/oci-artifact-csi@${digestOf(`oci-artifact-csi:${version}`)}`;
    const index = await oras(['manifest', 'fetch', '--plain-http', subject], work);
    const { manifests } = JSON.parse(index) as { readonly manifests: readonly Platform[] };
    assert.deepEqual(
      manifests.map(({ platform }) => platform.architecture),
      ['amd64', 'arm64'],
    );
    return manifests;
  }

  test('names the base by which it can be built again', async () => {
    for (const { digest } of await platforms()) {
      const subject = `${host}/csi/oci-artifact-csi@${digest}`;
      const config = await oras(['manifest', 'fetch-config', '--plain-http', subject], work);
      const { Labels } = (JSON.parse(config) as ImageConfig).config;
      const named = `${Labels?.['org.opencontainers.image.base.name']}@${Labels?.['org.opencontainers.image.base.digest']}`;
      assert.equal(named, base);
    }
  });

  test('attests for each platform what its image consists of', async () => {
    for (const { digest, platform } of await platforms()) {
      const subject = `${host}/csi/oci-artifact-csi@${digest}`;
      const attested = await verify('verify-attestation', 'signer', subject, '--type', 'cyclonedx');
      assert.equal(attested.code, 0, attested.stderr);
      const [predicate, again] = attested.stdout.trim().split('\n').map(parsePredicate);
      assert.ok(predicate !== undefined);
      assert.deepEqual(again, predicate, 'the second release says the same');
      const purls = predicate.components.map(({ purl }) => purl);
      const cpu = platform.architecture === 'amd64' ? 'x64' : 'arm64';
      const expected = [
        `pkg:npm/%40koromix/koffi-linux-${cpu}@`,
        'pkg:npm/koffi@',
        'pkg:npm/undici@',
        'pkg:deb/debian/libc6@',
        'pkg:generic/node@26.',
      ];
      for (const start of expected)
        assert.ok(
          purls.some(purl => purl.startsWith(start)),
          start,
        );
      assert.deepEqual(
        purls.filter(purl => /typescript|esbuild|koffi-darwin/.test(purl)),
        [],
        'not in the image',
      );
    }
  });

  test('has a chart that installs the image by its digest', async () => {
    const chart = `oci://${host}/csi/charts/oci-artifact-csi`;
    const line = ['template', 'it', chart, '--version', version, '--plain-http', '--kube-version', '1.34.0'];
    const { code, stdout, stderr } = await run(toolPath('helm'), line, work);
    assert.equal(code, 0, stderr);
    const image = `${host}/csi/oci-artifact-csi@${digestOf(`oci-artifact-csi:${version}`)}`;
    assert.ok(stdout.includes(image), stdout);
  });

  test('is mounted by the driver under a policy that demands its signature, and by no other key', async () => {
    const policy = join(work, 'policy.json');
    for (const [key, expected] of [
      ['signer', 'OK'],
      ['stranger', 'PERMISSION_DENIED'],
    ] as const) {
      const keyPath = join(work, `${key}.pub`);
      const signed = { type: 'sigstoreSigned', keyPath, signedIdentity: { type: 'matchRepository' } };
      const transports = { docker: { [`${host}/csi`]: [signed] } };
      writeFileSync(policy, JSON.stringify({ default: [{ type: 'reject' }], transports }));
      await using node = await testNode([host]);
      const flags = { '--policy': policy, '--bundle-identity': 'digest' };
      await using daemon = await startDaemon(node, { flags });
      const reference = `${host}/csi/oci-artifact-csi:${version}`;
      const request = await publishRequest(node, { reference });
      const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
      assert.equal(code, expected, text);
      if (code === 'OK') {
        const content = readFileSync(join(request.target_path, 'app/dist/package.json'), 'utf8');
        assert.match(content, /oci-artifact-csi/);
      }
      await daemon.csi.NodeUnpublishVolume(request);
    }
  });

  test('is refused for a base without a digest', async () => {
    const { code, stderr } = await release([`${host}/csi`, '--base', `${host}/node:debian13`]);
    assert.equal(code, 1);
    assert.match(stderr, /^release: the base \S+\/node:debian13 has no digest/);
  });

  test('is refused for changes that are in no commit, and for a version that was released otherwise', async () => {
    writeFileSync(join(source, 'src/added.ts'), '');
    assert.match((await release(args)).stderr, /^release: the working tree differs from its commit/);
    writeFileSync(join(source, 'charts/oci-artifact-csi/profiles/added.yaml'), '');
    const git = (...line: readonly string[]): void => void execFileSync('git', line, { cwd: source });
    git('add', '--all');
    git(...author, 'commit', '--quiet', '--message=more');
    const { code, stderr } = await release(args);
    assert.equal(code, 1);
    const said =
      /release: \S+:\S+ is there as sha256:\w+, and this release is sha256:\w+: the tag of a version never moves/;
    assert.match(stderr, said);
  });
});

/** The SBOM of an attestation, as cosign prints it. */
function parsePredicate(line: string): Sbom {
  const { payload } = JSON.parse(line) as { readonly payload: string };
  return (JSON.parse(Buffer.from(payload, 'base64').toString()) as { readonly predicate: Sbom }).predicate;
}

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  spawnDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { ready } from '../support/node/readiness.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { makeCertificate } from '../support/signing/certificate.ts';

/** A node whose files are broken when its daemon starts: it keeps what it has, and is well once they are. */

const certificate = makeCertificate();
const stack = new AsyncDisposableStack();
let registry: FaultyRegistry;
let node: TestNode;
before(async () => {
  registry = stack.use(await openFaultyRegistry({ tls: certificate }));
  node = stack.use(await testNode());
});
after(() => stack.disposeAsync());

/** `HOST` in a file is the registry. */
type Row = {
  readonly flag: string;
  readonly file: string;
  /** The value of the flag, if it is a directory above the file. */
  readonly directory?: string;
  readonly right: string;
  readonly broken: string;
  readonly reason: RegExp;
};

/** In the order in which a pull needs them. */
const files: readonly Row[] = [
  {
    flag: '--registries-conf',
    file: 'registries.conf',
    right: '',
    broken: '[[registry]',
    reason: /registries\.conf:1:.*; until the file is corrected, what needs it is refused$/m,
  },
  {
    flag: '--hosts-dir',
    directory: 'hosts',
    file: 'hosts/HOST/hosts.toml',
    right: 'skip_verify = false',
    broken: 'skip_verify = 1',
    reason: /hosts\.toml:1: .*skip_verify must be.*; until the file is corrected, what needs it is refused$/m,
  },
  {
    flag: '--certs-dir',
    directory: 'certs',
    file: 'certs/HOST/ca.crt',
    right: certificate.cert,
    broken: 'nothing',
    reason: /ca\.crt must have PEM .*; until the file is corrected, what needs it is refused$/m,
  },
  {
    flag: '--auth-file',
    file: 'auth.json',
    right: '{}',
    broken: '{',
    reason: /auth\.json is not JSON/m,
  },
  {
    flag: '--ca-file',
    file: 'ca.pem',
    right: certificate.cert,
    broken: 'nothing',
    reason: /ca\.pem must have PEM .*; until the file is corrected, what needs it is refused$/m,
  },
];

const policies: readonly Row[] = [
  {
    flag: '--access-policy',
    file: 'access.yaml',
    right: 'default: allow',
    broken: 'default: perhaps',
    reason: /access\.yaml (?:of this node )?is broken(?:: | \()line 1: /m,
  },
  {
    flag: '--policy',
    file: 'policy.json',
    right: JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }),
    broken: '{',
    reason: /policy\.json: it is not JSON/m,
  },
];

async function write(file: string, text: string): Promise<void> {
  const path = join(node.path, file.replace('HOST', registry.host));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

/** A daemon over these files, all right or all broken, that answers. */
async function serve(rows: readonly Row[], state: 'right' | 'broken'): Promise<TestDaemon> {
  const flags = rows.map(({ flag, file, directory = file }) => [flag, join(node.path, directory)] as const);
  for (const row of rows) await write(row.file, row[state]);
  const daemon = await spawnDaemon(node, { flags: Object.fromEntries(flags) });
  await waitUntil(daemon, async () => (await readiness(daemon).catch(() => undefined)) !== undefined, 'up');
  return daemon;
}

const push = async (tag: string): Promise<string> => {
  await registry.push('team/model', tag, [{ name: 'weights', bytes: Buffer.from(tag) }]);
  return `${registry.host}/team/model:${tag}`;
};

async function publish(daemon: TestDaemon, reference: string): Promise<string> {
  const request = await publishRequest(node, { reference });
  const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
  return `${code} ${text}`;
}

async function readiness({ http, identity }: TestDaemon) {
  const { ready: probed } = await identity.Probe({});
  const answer = await fetch(`${http}/readyz`);
  return { isReady: answer.status === 200 && probed?.value === true, text: await answer.text() };
}

test('a file that is broken at start affects only what needs it, until it is right; cached content is served', async () => {
  const had = await push('had');
  const mounted = await publishRequest(node, { reference: had });
  {
    await using daemon = await serve(files, 'right');
    await daemon.csi.NodePublishVolume(mounted);
    assert.equal(await daemon.end('SIGTERM'), 0);
  }
  await using daemon = await serve(files, 'broken');
  assert.equal((await readiness(daemon)).isReady, false);
  await daemon.csi.NodePublishVolume(mounted);
  assert.match(await publish(daemon, had), /^OK/);
  assert.match(await publish(daemon, 'had:1'), /^UNAVAILABLE.*registries\.conf:/, 'a short name');
  const fresh = await push('fresh');
  for (const { file, right, reason } of files) {
    const { isReady, text } = await readiness(daemon);
    assert.equal(isReady, false);
    assert.match(text, reason);
    assert.match(text, /^(?:not ready: .*\n)+$/);
    const refusal = await publish(daemon, fresh);
    assert.match(refusal, /^(?:UNAVAILABLE|INTERNAL)/);
    assert.match(refusal, reason);
    await write(file, right);
    await waitUntil(daemon, async () => !reason.test((await readiness(daemon)).text), `${file} is right`);
  }
  assert.match((await readiness(daemon)).text, ready);
  assert.match(await publish(daemon, fresh), /^OK/);
  assert.equal(await daemon.end('SIGTERM'), 0);
});

test('broken policies also refuse cached content, and keep existing mounts', async () => {
  const had = await push('judged');
  const mounted = await publishRequest(node, { reference: had });
  const [, , , , ca = assert.fail()] = files;
  {
    await using daemon = await serve([ca, ...policies], 'right');
    await daemon.csi.NodePublishVolume(mounted);
    assert.equal(await daemon.end('SIGTERM'), 0);
  }
  await using daemon = await serve(policies, 'broken');
  await daemon.csi.NodePublishVolume(mounted);
  for (const { file, right, reason } of policies) {
    const { isReady, text } = await readiness(daemon);
    assert.equal(isReady, false);
    assert.match(text, reason);
    assert.match(daemon.output(), reason);
    const refusal = await publish(daemon, had);
    assert.match(refusal, /^PERMISSION_DENIED/);
    assert.match(refusal, reason);
    await write(file, right);
  }
  assert.match((await readiness(daemon)).text, ready);
  assert.match(await publish(daemon, had), /^OK/);
  assert.equal(await daemon.end('SIGTERM'), 0);
});

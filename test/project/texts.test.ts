import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectRemote } from '../../src/grpc/client/client.ts';
import { ArtifactError, type ErrorCode } from '../../src/util/error.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { type Around, runShell } from '../support/node/shell.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/**
 * What users read, as it is checked in: every help text, and an error of each kind on both ways in. `npm run texts`
 * writes the file anew; the difference is reviewed like code.
 */

const golden = fileURLToPath(new URL('texts.txt', import.meta.url));

test('help texts and errors read as in test/project/texts.txt', needs('root'), async (t: TestContext) => {
  const lines = [...(await helps()), ...(await errors())];
  t.assert.fileSnapshot(`${lines.join('\n')}\n`, golden, { serializers: [String] });
});

async function helps(): Promise<readonly string[]> {
  const { stdout: root } = await runShell(['--help']);
  const names = [...root.matchAll(/^ {2}([a-z]+)(?= )/gm)].map(([, name = '']) => name);
  const texts: string[] = [];
  for (const words of [[], ...names.filter(name => name !== 'help').map(name => [name])]) {
    const { stdout } = await runShell([...words, '--help']);
    texts.push(`$ oci-artifact-csi ${[...words, '--help'].join(' ')}`, stdout);
  }
  return texts;
}

async function errors(): Promise<readonly string[]> {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const closed = await closedPort();
  writeFileSync(
    join(node.registriesConfDir, 'rules.conf'),
    [
      '[[registry]]\nlocation = "blocked.example"\nblocked = true',
      `[[registry]]\nlocation = "127.0.0.1:${closed}"\ninsecure = true`,
    ].join('\n'),
  );
  await using daemon = await startDaemon(node, {
    flags: { '--max-artifact-size': '3MiB', '--cache-max': '2MiB' },
  });
  await fill(registry);
  const { host } = registry;

  const clean = (text: string): string =>
    text
      .replaceAll(node.path, '/node')
      .replaceAll(host, 'registry.example')
      .replaceAll(host.replace('127.0.0.1', 'localhost'), 'tls.example')
      .replaceAll(`127.0.0.1:${closed}`, 'closed.example')
      .replaceAll(/sha256:[0-9a-f]{64}/g, 'sha256:<hex>')
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, '<uid>')
      .replaceAll(/in \d+(?:\.\d+)? m?s\b/g, 'in <time>')
      .replaceAll(/csi-[0-9a-f]{64}/g, 'csi-<id>');
  const lines: string[] = [];

  const around: Around = {
    environment: { CSI_ENDPOINT: `unix://${node.socket}`, OCI_ARTIFACT_STATE_DIR: node.stateDir },
    builder: { connect: async socket => connectRemote(socket) },
  };
  const seen = new Set<number>();
  const shell = async (line: string, given: Around = around): Promise<void> => {
    const { code, stderr } = await runShell(words(line), given);
    assert.notEqual(code, 0, line);
    seen.add(code);
    const said = stderr.replaceAll(/^(?:resolve|download|unpack|build)\b.*\n/gm, ''); // progress
    lines.push(clean(`$ oci-artifact-csi ${line}\n${said}exit code ${code}\n`));
  };
  const plugged = join(node.path, 'plain');
  mkdirSync(plugged);
  writeFileSync(join(plugged, 'file'), '');
  for (const line of [
    'pul model:1',
    'pull',
    'pull a b',
    "pull ''",
    'pull UPPER/x',
    'pull 模型/x',
    'pull https://ghcr.io/org/model:1',
    'pull model:1 --frobnicate',
    'pull model:1 --unpack sometimes',
    'pull model:1 --platform amd64',
    "pull model:1 --include ''",
    'pull model:1 --include [a,b]',
    'pull model:1 --username me',
    'ls --registries-conf /x',
    'pull model:1 --registries-conf /x',
    'ls --timeout soon',
    'serve --cache-high 200',
    'serve --cache-max lots',
    'serve --endpoint tcp://127.0.0.1:1',
    'serve --cached-authorization maybe',
    'completion tcsh',
    `pull ${host}/models/tiny:none`,
    `pull ${host}/secret/model:1`,
    'pull blocked.example/model:1',
    `pull ${host}/models/climbing:1`,
    `pull ${host}/models/lying:1`,
    `pull ${host.replace('127.0.0.1', 'localhost')}/models/tiny:1`,
    `pull ${host}/models/large:1`,
    `pull ${host}/models/huge:1`,
    `mount ${host}/models/tiny:1 ${plugged}`,
    'inspect model:1',
    `rm ${host}/models/tiny:none`,
    'unmount /nowhere',
    `load ${join(node.path, 'none')}`,
    'load /dev/null model:1',
    'load /dev/null ghcr.io/org/model:1',
  ])
    await shell(line);

  const nowhere: Around = {
    environment: { CSI_ENDPOINT: `unix://${join(node.path, 'none.sock')}`, OCI_ARTIFACT_STATE_DIR: '/none' },
  };
  await shell('ls', nowhere);
  await shell('ls --state-dir /none', nowhere);
  for (const [code, message] of made)
    await shell('ls', {
      artifacts: {
        list: async () => {
          throw new ArtifactError(code, message);
        },
      },
    });
  assert.deepEqual(
    [...seen].toSorted((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 130],
  );

  const call = async (name: string, pending: Promise<unknown>): Promise<void> => {
    const { code, text } = await outcomeOf(pending);
    assert.notEqual(code, 'OK', name);
    lines.push(clean(`> ${name}\n${code}: ${text}\n`));
  };
  const publish = async (attributes: Readonly<Record<string, string>>, change = {}): Promise<void> => {
    const request = { ...(await publishRequest(node, attributes)), ...change };
    await call(
      `NodePublishVolume ${JSON.stringify({ ...change, ...attributes })}`,
      daemon.csi.NodePublishVolume(request),
    );
  };
  const reference = `${host}/models/tiny:1`;
  await publish({});
  await publish({ reference }, { readonly: false });
  await publish({ reference, refrence: 'x' });
  await publish({ reference: 'Model:1' });
  await publish({ reference, pullPolicy: 'Sometimes' });
  await publish({ reference, include: '*.bin, [' });
  await publish({ reference: `${host}/models/tiny:none` });
  await publish({ reference: `${host}/secret/model:1` });
  await publish({ reference: 'blocked.example/model:1' });
  await publish({ reference: `${host}/models/climbing:1` });
  await publish({ reference, subPath: 'none' });
  await publish({ reference: `${host}/models/lying:1` });
  await publish({ reference: `${host}/models/large:1` });
  await publish({ reference: 'never.example/model:1', pullPolicy: 'Never' });
  await publish({ reference }, { target_path: '/tmp/elsewhere' });
  const first = await publishRequest(node, { reference });
  await daemon.csi.NodePublishVolume(first);
  const other = { ...first, volume_context: { ...first.volume_context, exclude: 'b' } };
  await call('NodePublishVolume again, with another exclude', daemon.csi.NodePublishVolume(other));
  await call('NodeExpandVolume', daemon.csi.NodeExpandVolume({ volume_id: 'x', volume_path: '/x' }));
  const { volume_id, target_path } = first;
  await daemon.csi.NodeUnpublishVolume({ volume_id, target_path });
  return lines;
}

/** Errors that need a broken machine, or a moment that cannot be waited for. */
const made: readonly (readonly [ErrorCode, string])[] = [
  ['internal', 'reading /var/lib/oci-artifact-csi/names: EIO: i/o error'],
  ['corrupt', 'blobs/sha256/0123: its bytes have another digest'],
  ['busy', 'the state directory is in use'],
  ['unimplemented', 'not supported'],
  ['cancelled', 'interrupted'],
];

async function fill(registry: FaultyRegistry): Promise<void> {
  const small = (name: string) => [{ name, bytes: Buffer.from('hello\n') }];
  await registry.push('models/tiny', '1', [...small('a'), { name: 'b', bytes: Buffer.from('b') }]);
  await registry.push('models/climbing', '1', small('../../etc/passwd'));
  await registry.push('models/large', '1', [{ name: 'w', bytes: randomBytes(2_500_000) }]);
  await registry.push('models/huge', '1', [{ name: 'w', bytes: randomBytes(4_000_000) }]);
  await registry.push('models/lying', '1', [{ name: 'w', bytes: Buffer.from('the right bytes') }]);
  registry.fault(({ path }) => {
    if (path.includes('/secret/')) return { kind: 'status', status: 401, code: 'UNAUTHORIZED' };
    return path.includes('/models/lying/blobs/') ? { kind: 'wrong-bytes' } : undefined;
  });
}

/** Words of a line, of which one may be '' in quotes. */
function words(line: string): readonly string[] {
  return line.split(' ').map(word => (word === "''" ? '' : word));
}

/** A port of loopback on which nothing listens. */
async function closedPort(): Promise<number> {
  const server: Server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise(resolve => server.close(resolve));
  return port;
}

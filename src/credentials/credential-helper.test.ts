import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { writeScript } from '../../test/support/os/script.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../test/support/os/temporary.ts';
import type { Credential } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import { openKeychain } from './keychain.ts';

const never = new AbortController().signal;
const at = (host: string, path = 'ns/x'): Endpoint => ({ host, path, insecure: false });

/** Behaves as docker's own helpers: they know some servers, and report the others as unknown. */
const known = {
  'r.io': { Username: 'robot', Secret: 'S3CRET-one' },
  'r.io/ns': { Username: 'narrow', Secret: 'S3CRET-two' },
  'https://index.docker.io/v1/': { Username: '<token>', Secret: 'S3CRET-three' },
};
const source = (log: string): string => `
import { appendFileSync, readFileSync } from 'node:fs';
const server = readFileSync(0, 'utf8').trim();
appendFileSync(${JSON.stringify(log)}, process.argv.slice(2).join(' ') + ' ' + server + '\\n');
const found = ${JSON.stringify(known)}[server];
if (found === undefined) { console.log('credentials not found in native keychain'); process.exit(1); }
console.log(JSON.stringify({ ServerURL: server, ...found }));
`;

let directory: TemporaryDirectory;
let log: string;
const path = process.env['PATH'] ?? '';
before(async () => {
  directory = await temporaryDirectory();
  log = join(directory.path, 'log');
  await writeScript(join(directory.path, 'docker-credential-good'), source(log));
  await writeScript(join(directory.path, 'docker-credential-bad'), `console.log('S3CRET'); process.exit(2);`);
  await writeScript(join(directory.path, 'docker-credential-odd'), `console.log('{"Username": "S3CRET"}');`);
  process.env['PATH'] = `${directory.path}:${path}`;
});
after(async () => {
  process.env['PATH'] = path;
  await directory[Symbol.asyncDispose]();
});

let count = 0;
/** Returns the credential from an auth file with this content; `asked` has the requests to the good helper. */
async function find(
  config: unknown,
  endpoint: Endpoint,
  secrets: Readonly<Record<string, string>> = {},
): Promise<{ readonly credential: Credential; readonly asked: readonly string[] }> {
  const file = join(directory.path, `auth-${(count += 1)}.json`);
  await writeFile(file, JSON.stringify(config));
  await writeFile(log, '');
  using keychain = openKeychain({ authFile: file });
  const credential = await keychain.open({ secrets }).find(endpoint, never);
  const asked = readFileSync(log, 'utf8')
    .split('\n')
    .filter(line => line !== '');
  return { credential, asked };
}

describe('credential helpers of an auth file', () => {
  test("credHelpers are asked for their server, and their credentials are the node's", async () => {
    const { credential, asked } = await find({ credHelpers: { 'r.io': 'good' } }, at('r.io'));
    assert.deepEqual(
      { ...credential, source: '' },
      {
        kind: 'basic',
        holder: { kind: 'node' },
        source: '',
        username: 'robot',
        password: 'S3CRET-one',
      },
    );
    assert.match(
      credential.source,
      /^docker-credential-good, credHelpers of the auth file .*auth-\d+\.json \(r\.io\)$/,
    );
    assert.deepEqual(asked, ['get r.io']);
  });

  test('the most specific key is asked first, and the next if it has nothing', async () => {
    const both = await find({ credHelpers: { 'r.io': 'good', 'r.io/ns': 'good' } }, at('r.io'));
    assert.deepEqual(both.asked, ['get r.io/ns']);
    const deeper = await find({ credHelpers: { 'r.io': 'good', 'r.io/ns/x': 'good' } }, at('r.io'));
    assert.deepEqual(deeper.asked, ['get r.io/ns/x', 'get r.io']);
    assert.equal(deeper.credential.kind === 'basic' && deeper.credential.username, 'robot');
  });

  test('credsStore is asked last; <token> as username means an identity token', async () => {
    const { credential, asked } = await find({ credsStore: 'good' }, at('registry-1.docker.io'));
    assert.equal(credential.kind === 'identity-token' && credential.token, 'S3CRET-three');
    assert.deepEqual(asked, ['get https://index.docker.io/v1/']);
    const auth = Buffer.from('file:pw').toString('base64');
    const file = await find({ credsStore: 'good', auths: { 'r.io': { auth } } }, at('r.io'));
    assert.equal(file.credential.kind === 'basic' && file.credential.username, 'file');
    assert.deepEqual(file.asked, []);
  });

  test('a server that no helper knows is asked anonymously', async () => {
    const { credential } = await find({ credsStore: 'good' }, at('o.io'));
    assert.match(credential.source, /^anonymous \(no entry for o\.io in the auth file/);
  });

  test('a helper that fails is skipped and named, and its output is not quoted', async () => {
    for (const [name, why] of [
      [
        'bad',
        /docker-credential-bad, credHelpers of the auth file .* ended with exit code 2; run it by hand with "get" and r\.io/,
      ],
      ['odd', /answered no JSON with Username and Secret/],
      ['absent', /docker-credential-absent cannot be started \(ENOENT\).*on the daemon's PATH/],
    ] as const) {
      const { credential } = await find({ credHelpers: { 'r.io': name } }, at('r.io'));
      assert.equal(credential.kind, 'anonymous');
      assert.match(credential.source, why);
      assert.ok(!inspect(credential).includes('S3CRET'));
      const next = await find({ credHelpers: { 'r.io': name }, credsStore: 'good' }, at('r.io'));
      assert.equal(next.credential.kind, 'basic');
    }
  });

  test('a helper name that is a path runs nothing', async () => {
    await assert.rejects(find({ credHelpers: { 'r.io': '../../bin/sh' } }, at('r.io')), {
      code: 'internal',
      message: /"credHelpers": invalid program ".*": must be the <name> of docker-credential-<name>/,
    });
  });

  test('no secret of a call selects a program to run', async () => {
    for (const config of [
      { credHelpers: { 'r.io': 'good' } },
      { credsStore: 'good', auths: { 'r.io': {} } },
    ]) {
      const { credential, asked } = await find({}, at('r.io'), {
        '.dockerconfigjson': JSON.stringify(config),
      });
      assert.equal(credential.kind, 'anonymous');
      assert.match(
        credential.source,
        /leaves this to a program \(cred.*\), and only those of --auth-file are run/,
      );
      assert.deepEqual(asked, []);
    }
  });
});

test('many pulls within a minute run a helper once', async () => {
  const file = join(directory.path, 'many.json');
  await writeFile(file, JSON.stringify({ credsStore: 'good' }));
  await writeFile(log, '');
  using keychain = openKeychain({ authFile: file });
  const find = () => keychain.open({ secrets: {} }).find(at('r.io'), never);
  await Promise.all(Array.from({ length: 20 }, find));
  await find();
  assert.equal(readFileSync(log, 'utf8'), 'get r.io\n');
});

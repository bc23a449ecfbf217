import { execFile } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { toolPath } from '../project/tools.ts';

/**
 * Runs cosign in a directory, with an empty password and nothing of the machine; requests to services of the Internet
 * fail at once.
 *
 * @throws with its standard error.
 */
async function cosign(args: readonly string[], cwd: string): Promise<void> {
  const nowhere = 'http://127.0.0.1:9';
  const env = {
    PATH: process.env['PATH'],
    HOME: cwd,
    DOCKER_CONFIG: cwd,
    TUF_ROOT: join(cwd, 'tuf'),
    COSIGN_PASSWORD: '',
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
    NO_PROXY: '127.0.0.1,localhost',
  };
  await promisify(execFile)(toolPath('cosign'), [...args], { cwd, env });
}

/** Creates `<name>.key` and `<name>.pub` in a directory. */
export async function makeCosignKey(name: string, cwd: string): Promise<void> {
  await cosign(['generate-key-pair', '--output-key-prefix', name], cwd);
}

const offline = ['--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '--yes'];

/** Signs `host/repository@digest` with `<key>.key`: into the `.sig` tag as cosign 1 and 2 did, or as a bundle. */
export async function cosignSign(
  storage: 'tag' | 'bundle',
  key: string,
  reference: string,
  cwd: string,
  more: readonly string[] = [],
): Promise<void> {
  const format = `--new-bundle-format=${storage === 'bundle'}`;
  await cosign(['sign', '--key', `${key}.key`, format, ...offline, ...more, reference], cwd);
}

/** Signs `host/repository@digest` as cosign does by default, but with services and a trusted root of the test. */
export async function cosignSignStock(
  reference: string,
  who: { readonly key: string } | { readonly token: string },
  services: { readonly signingConfig: string; readonly trustedRoot: string },
  cwd: string,
): Promise<void> {
  const by = 'key' in who ? ['--key', `${who.key}.key`] : ['--identity-token', who.token];
  const from = ['--signing-config', services.signingConfig, '--trusted-root', services.trustedRoot];
  await cosign(['sign', ...by, ...from, '--allow-http-registry', '--yes', reference], cwd);
}

/** Attaches an attestation to `host/repository@digest`, as a bundle. */
export async function cosignAttest(
  key: string,
  predicate: string,
  reference: string,
  cwd: string,
): Promise<void> {
  const about = ['--predicate', predicate, '--type', 'https://example.com/tested'];
  await cosign(['attest', '--key', `${key}.key`, ...about, ...offline, reference], cwd);
}

/**
 * Verifies bundles of `host/repository@digest` by a trusted root, without the Internet. Returns the error; undefined if
 * it verifies.
 */
export async function cosignVerify(
  reference: string,
  args: readonly string[],
  cwd: string,
): Promise<string | undefined> {
  try {
    await cosign(['verify', '--new-bundle-format=true', '--allow-http-registry', ...args, reference], cwd);
    return undefined;
  } catch (thrown) {
    return String((thrown as { stderr?: string }).stderr ?? thrown);
  }
}

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Table } from '../configfile/field.ts';
import { parseYaml } from '../configfile/yaml.ts';
import { ArtifactError } from '../util/error.ts';
import { type ExecPlugin, openExecCredential } from './exec-credential.ts';

/** The API server of a kubeconfig, and how its user proves who it is. */
export type Kubeconfig = {
  readonly url: string;
  /** Reads the files that it names, and runs its program. The signal ends that. */
  credentials(closing: AbortSignal, signal: AbortSignal): Promise<ApiCredentials>;
};

/** TLS options, and a header, of one request. */
export type ApiCredentials = {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
  readonly rejectUnauthorized?: false | undefined;
  readonly token?: string | undefined;
};

const clusterFields = [
  'server',
  'certificate-authority',
  'certificate-authority-data',
  'tls-server-name',
  'insecure-skip-tls-verify',
];
const userFields = [
  'token',
  'tokenFile',
  'client-certificate',
  'client-certificate-data',
  'client-key',
  'client-key-data',
  'exec',
];
/** What has no effect on a request. */
const idle = ['extensions', 'disable-compression'];

/**
 * Parses the current context of a kubeconfig (client.authentication.k8s.io, and `kubectl config view`): tokens,
 * certificates and programs. What it does not know is refused, because the API would be asked as somebody else.
 *
 * @throws ArtifactError `invalid` naming file and line; it quotes no secret.
 */
export function parseKubeconfig(text: string, file: string): Kubeconfig {
  const top = parseYaml(text, { kind: 'kubernetes', file });
  const context = find(top, 'context', top.need('current-context').text());
  const cluster = find(top, 'cluster', context.need('cluster').text());
  const user = find(top, 'user', context.need('user').text());
  const place = (path: string): string => resolve(dirname(file), path);
  cluster.only(...clusterFields, ...idle);
  user.only(...userFields, ...idle);
  const url = URL.parse(cluster.need('server').text());
  if (url === null || !/^https?:$/.test(url.protocol))
    return cluster.refuse('must have a server that is an http or https URL');
  const pem = (table: Table, key: string): Pem => {
    const data = table.text(`${key}-data`, 'be-empty');
    const path = table.text(key, 'be-empty');
    if (data) return { kind: 'text', text: Buffer.from(data, 'base64').toString() };
    return path ? { kind: 'file', path: place(path) } : { kind: 'none' };
  };
  const ca = pem(cluster, 'certificate-authority');
  const [cert, key] = [pem(user, 'client-certificate'), pem(user, 'client-key')];
  const tokenFile = user.text('tokenFile', 'be-empty');
  const token = tokenFile
    ? ({ kind: 'file', path: place(tokenFile) } as const)
    : ({ kind: 'text', text: user.text('token', 'be-empty') ?? '' } as const);
  const exec = user.table('exec');
  const run = exec && openExecCredential(toPlugin(exec, place));
  return {
    url: url.href.replace(/\/+$/, ''),
    async credentials(closing, signal) {
      const own = await run?.(closing, signal);
      return {
        ca: await read(ca),
        cert: own?.cert ?? (await read(cert)),
        key: own?.key ?? (await read(key)),
        token: own?.token ?? ((await read(token))?.trim() || undefined),
        servername: cluster.text('tls-server-name', 'be-empty') || undefined,
        ...(cluster.flag('insecure-skip-tls-verify') === true ? { rejectUnauthorized: false as const } : {}),
      };
    },
  };
}

/** A file is read for each request, because it may be replaced. */
type Pem =
  | { readonly kind: 'none' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string };

async function read(pem: Pem): Promise<string | undefined> {
  switch (pem.kind) {
    case 'none':
      return undefined;
    case 'text':
      return pem.text;
    case 'file':
      return await readFile(pem.path, 'utf8');
  }
}

/** Returns the content of a named entry: `users: [{name, user: {…}}]`. */
function find(top: Table, kind: 'context' | 'cluster' | 'user', name: string): Table {
  const entries = top.tables(`${kind}s`, 'be-empty') ?? [];
  const found = entries.find(entry => entry.text('name', 'be-empty') === name);
  return found?.need(kind).table() ?? top.refuse(`has no ${kind} of the name that it uses`);
}

function toPlugin(exec: Table, place: (path: string) => string): ExecPlugin {
  const command = exec.need('command').text();
  const apiVersion = exec.need('apiVersion').text();
  if (!/^client\.authentication\.k8s\.io\/v1(beta1)?$/.test(apiVersion))
    exec.invalid('apiVersion', 'must be client.authentication.k8s.io/v1 or v1beta1');
  if (exec.text('interactiveMode') === 'Always')
    throw new ArtifactError(
      'invalid',
      `${exec.at('interactiveMode')} is Always, and nobody answers a daemon`,
    );
  const variables = exec.tables('env', 'be-empty') ?? [];
  return {
    apiVersion,
    path: command.includes('/') ? place(command) : command,
    args: exec.texts('args', 'be-empty') ?? [],
    environment: Object.fromEntries(
      variables.map(one => [one.need('name').text(), one.text('value', 'be-empty') ?? '']),
    ),
  };
}

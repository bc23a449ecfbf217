import type { OutgoingHttpHeaders } from 'node:http';
import type { RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { toJsonObject } from '../configfile/json.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { type ExecPlugin, openExecCredential } from './exec-credential.ts';

/** The API server of a kubeconfig, and how its user proves who it is. */
export type Kubeconfig = {
  readonly url: string;
  /** That of the current context. */
  readonly namespace: string;
  /** Reads the files that it names, and runs its program. The first signal ends the program, the second the waiting. */
  credentials(closing: AbortSignal, signal: AbortSignal): Promise<ApiCredentials>;
};

/** TLS options and headers of one request; `auth` is a user and a password. */
export type ApiCredentials = Pick<
  RequestOptions,
  'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized' | 'auth'
> & { readonly headers?: OutgoingHttpHeaders };

/**
 * Reads the current context of a kubeconfig by the client library. Only the program of an `exec` user is run here: the
 * library waits for it without a limit.
 *
 * @throws ArtifactError `invalid`; it quotes nothing of the file.
 */
export function parseKubeconfig(text: string, file: string): Kubeconfig {
  const config = load(text, file);
  const [cluster, user] = [config.getCurrentCluster(), config.getCurrentUser()];
  if (cluster === null || user === null)
    throw invalid(file, 'has no current context with a cluster and a user');
  const url = URL.parse(cluster.server);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw invalid(file, 'has a server that is no http or https URL');
  if (cluster.proxyUrl) throw invalid(file, 'has a proxy-url, which is not supported');
  const { exec, ...known } = user;
  const run = exec ? openExecCredential(toPlugin(exec, file)) : undefined;
  // The library refuses http unless nothing is to be verified.
  const skipTLSVerify = cluster.skipTLSVerify || url.protocol === 'http:';
  config.loadFromClusterAndUser({ ...cluster, skipTLSVerify }, known);
  return {
    url: url.href.replace(/\/$/, ''),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    async credentials(closing, signal) {
      const own = await run?.(closing, signal);
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      const { ca, cert, key, servername, rejectUnauthorized, auth } = options;
      return {
        ca,
        cert: own?.cert ?? cert,
        key: own?.key ?? key,
        servername,
        rejectUnauthorized,
        auth,
        headers: {
          ...(options.headers as OutgoingHttpHeaders),
          ...(own?.token === undefined ? {} : { Authorization: `Bearer ${own.token}` }),
        },
      };
    },
  };
}

function load(text: string, file: string): KubeConfig {
  const config = new KubeConfig();
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(dirname(file));
    return config;
  } catch (thrown) {
    // Without a cause: the message of a parser may quote the token in the file.
    throw invalid(file, `cannot be used (${errnoOf(thrown) ?? 'it is malformed'})`);
  }
}

function invalid(file: string, why: string): ArtifactError {
  return new ArtifactError('invalid', `${file} ${why}`);
}

function toPlugin(user: unknown, file: string): ExecPlugin {
  const exec = toJsonObject(user, 'exec');
  const command = exec.need('command').text();
  const apiVersion = exec.need('apiVersion').text();
  if (!/^client\.authentication\.k8s\.io\/v1(beta1)?$/.test(apiVersion))
    exec.invalid('apiVersion', 'must be client.authentication.k8s.io/v1 or v1beta1');
  if (exec.text('interactiveMode') === 'Always')
    exec.invalid('interactiveMode', 'cannot be Always: nobody answers a daemon');
  const variables = exec.tables('env', 'be-empty') ?? [];
  return {
    apiVersion,
    path: command.includes('/') ? resolve(dirname(file), command) : command,
    args: exec.texts('args', 'be-empty') ?? [],
    environment: Object.fromEntries(
      variables.map(one => [one.need('name').text(), one.text('value', 'be-empty') ?? '']),
    ),
  };
}

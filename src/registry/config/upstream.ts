import type { Endpoint } from '../../oci/endpoint.ts';
import { usualConnectMs } from '../http/request.ts';
import { blindTrust, plainTrust, type TlsTrust } from '../http/tls.ts';

/**
 * One endpoint for a repository. `scheme` is the only scheme to use; without it, https, and also http if the endpoint
 * is insecure. `root` precedes the repository in URL paths. `headers`, with names in lower case, go to this endpoint
 * alone and may be secret. `connectMs` is the time limit for a connection. `namespace` is the registry that is meant,
 * if the registry itself is at a host of another name.
 */
export type Upstream = Endpoint & {
  readonly scheme?: 'https' | 'http';
  readonly root: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly trust: TlsTrust;
  readonly connectMs: number;
  readonly namespace?: string;
};

/** Returns an endpoint as in the OCI distribution spec, without configuration. */
export function toUpstream(endpoint: Endpoint): Upstream {
  return {
    ...endpoint,
    root: '/v2',
    headers: {},
    trust: endpoint.insecure ? blindTrust : plainTrust,
    connectMs: usualConnectMs,
  };
}

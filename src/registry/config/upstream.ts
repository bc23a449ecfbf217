import type { Endpoint } from '../../oci/endpoint.ts';
import { usualConnectMs } from '../http/request.ts';
import { blindTrust, plainTrust, type TlsTrust } from '../http/tls-trust.ts';

/**
 * One place to ask for a repository. `scheme` is the one way to reach it; without it that is https, and http too where
 * it is insecure. `root` comes before the repository in the paths of URLs. `headers`, names in lower case, go to this
 * place alone and may be secret. `connectMs`: how long a connection to it may take. `namespace`: the registry that is
 * meant, where the registry itself is at a host of another name.
 */
export type Upstream = Endpoint & {
  readonly scheme?: 'https' | 'http';
  readonly root: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly trust: TlsTrust;
  readonly connectMs: number;
  readonly namespace?: string;
};

/** An endpoint as the OCI distribution spec has it, with nothing configured. */
export function toPlace(endpoint: Endpoint): Upstream {
  return {
    ...endpoint,
    root: '/v2',
    headers: {},
    trust: endpoint.insecure ? blindTrust : plainTrust,
    connectMs: usualConnectMs,
  };
}

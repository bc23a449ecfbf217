import type { Transport } from '../../oci/endpoint.ts';
import { formatRepository, type Reference } from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import { plainTrust } from '../http/tls.ts';
import { apiHost, type Route, type Upstream } from './route.ts';

/**
 * Changes how the registry of a route is reached, and leaves its mirrors. The change applies to the host that the
 * reference names and to no other: a token server elsewhere is still verified.
 *
 * @throws ArtifactError `invalid` if the node's configuration sends requests for the registry to another host.
 */
export function askBy(transport: Transport, { mirrors, last }: Route, reference: Reference): Route {
  if (last.host !== apiHost(reference.registry)) {
    throw new ArtifactError(
      'invalid',
      `--${transport} is for the registry that the reference names, and ${fileOf(last)} asks ${last.host} for ${formatRepository(reference)}; leave it out, and change the configuration`,
    );
  }
  return { mirrors, last: toUpstreamBy(transport, last) };
}

/** Returns the file that names another host for the registry. */
function fileOf({ origin }: Upstream): string {
  return 'file' in origin ? origin.file : "this node's configuration";
}

function toUpstreamBy(transport: Transport, upstream: Upstream): Upstream {
  switch (transport) {
    case 'plain-http':
      return { ...upstream, scheme: 'http', insecure: true, trust: plainTrust };
    case 'insecure':
      return {
        ...upstream,
        scheme: 'https',
        insecure: false,
        trust: { ...upstream.trust, insecure: true },
      };
  }
}

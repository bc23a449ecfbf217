import type { Transport } from '../../oci/endpoint.ts';
import { formatRepository, type Reference } from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Upstream } from './upstream.ts';
import { apiHost, type Route } from './route.ts';
import { plainTrust } from '../http/tls-trust.ts';

/**
 * The registry of a route asked so, and its mirrors as they are. It holds for the host that the reference names and for
 * no other: a token server elsewhere must prove itself as ever.
 *
 * @throws ArtifactError `invalid` where the node's configuration asks another host for it.
 */
export function askBy(transport: Transport, { mirrors, last }: Route, reference: Reference): Route {
  if (last.host !== apiHost(reference.registry)) {
    throw new ArtifactError(
      'invalid',
      `--${transport} is for the registry that the reference names, and this node's configuration asks ${last.host} for ${formatRepository(reference)}; leave it out, and change the configuration`,
    );
  }
  return { mirrors, last: toPlaceBy(transport, last) };
}

function toPlaceBy(transport: Transport, place: Upstream): Upstream {
  switch (transport) {
    case 'plain-http':
      return { ...place, scheme: 'http', insecure: true, trust: plainTrust };
    case 'insecure':
      return {
        ...place,
        scheme: 'https',
        insecure: false,
        trust: { ...place.trust, insecure: true },
      };
  }
}

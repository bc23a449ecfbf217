import { TransportError } from '../../oci/endpoint.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { advise } from './host-origin.ts';
import type { HttpRequest } from './request.ts';
import { StalledError, TransientError, UnreachableError } from './retry.ts';

/** The codes of Node and OpenSSL for a server certificate that cannot be verified. */
const certificate =
  /^(?:CERT_|CRL_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED)/;
/** OpenSSL's codes for a server's alert about our certificate or its absence. */
const clientCertificate =
  /_ALERT_(?:HANDSHAKE_FAILURE|UNKNOWN_CA|ACCESS_DENIED|(?:\w+_)?CERTIFICATE(?:_\w+)?)$/;
const stalled = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

/** Classifies a failed connection as an ArtifactError: a TransientError if another attempt may succeed. */
export function toConnectionError(
  thrown: unknown,
  { url, origin }: Pick<HttpRequest, 'url' | 'origin'>,
  answered: boolean,
): ArtifactError {
  if (thrown instanceof ArtifactError) return thrown;
  const errno = errnoOf(thrown) ?? '';
  const why = reasonOf(thrown);
  if (stalled.has(errno)) return stall(url);
  // Includes a broken TLS record: it ends a response and does not show the server's identity or protocol.
  if (answered) {
    return new TransientError(
      'unavailable',
      `the connection to ${url.host} ended in mid-answer (${why})`,
      thrown,
    );
  }
  if (certificate.test(errno)) {
    return new TransportError(
      url.host,
      'insecure',
      `the certificate of ${url.host} cannot be verified (${why}); ${advise('certificate', url.host, origin)}`,
      thrown,
    );
  }
  if (clientCertificate.test(errno)) {
    return new ArtifactError(
      'unavailable',
      `${url.host} does not let this node in (${errno}); ${advise('client-certificate', url.host, origin)}`,
      thrown,
    );
  }
  if (errno === 'EPROTO' || errno.startsWith('ERR_SSL_')) {
    return new TransportError(
      url.host,
      'plain-http',
      `${url.host} does not speak TLS correctly (${errno}); ${advise('no-tls', url.host, origin)}`,
      thrown,
    );
  }
  if (errno === 'ENOTFOUND') {
    return new ArtifactError(
      'unavailable',
      `${url.host} cannot be found: no such name in DNS; ${advise('name', url.host, origin)}`,
      thrown,
    );
  }
  const what = errno === 'EAI_AGAIN' ? 'its name does not resolve, because no DNS server answers' : why;
  return new UnreachableError('unavailable', `${url.host} cannot be reached (${what})`, thrown);
}

/** No byte arrived for too long. */
export function stall(url: URL): StalledError {
  return new StalledError('unavailable', `${url.host} stopped sending and left the connection open`);
}

/** The caller aborted. */
export function cancelled(signal: AbortSignal): ArtifactError {
  return new ArtifactError('cancelled', 'the call was cancelled', signal.reason);
}

/**
 * Returns one reason: a connection to several addresses fails with several. OpenSSL's messages name its source files.
 */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return reasonOf(thrown.errors[0]);
  const errno = errnoOf(thrown);
  if (errno?.startsWith('ERR_SSL_')) return errno;
  return thrown instanceof Error ? thrown.message : String(thrown);
}

import type { Credential } from '../../oci/credential.ts';
import { ArtifactError } from '../../util/error.ts';
import { formatErrorBody, shownBy } from './error-body.ts';
import type { FinalResponse } from './redirect.ts';
import { TransientError } from './retry.ts';
import { parseRetryAfter } from './retry-after.ts';

/** The advice for a pod whose registry requires a credential. */
const whereCredentials =
  "name a pull secret of the pod's namespace in volumes[].csi.nodePublishSecretRef, or give the node a credential (--auth-file, --credential-provider-config)";

const perhapsPrivate = '; if it is private, give a credential: some registries answer 404 without one';

/** Returns the advice if a registry requires a credential and there is none; with a credential, `otherwise`. */
export function adviceOf(credential: Credential, otherwise: string): string {
  return credential.kind === 'anonymous' ? (credential.advice ?? whereCredentials) : otherwise;
}

/** A server refuses who asks: a credential, or a caller without one. */
export class RefusalError extends ArtifactError {}

/** What was requested, as errors name it, how, and of whom. */
type Asked = {
  readonly subject: string;
  readonly credential: Credential;
  /** `mirrorOf`: the registry that it mirrors. */
  readonly upstream: { readonly mirrorOf?: string | undefined };
};

/**
 * Classifies an unexpected response. `shown` are the headers to keep secret, `now` is milliseconds since 1970. A refusal
 * by storage that the registry redirected to is not a refusal by the registry: its URLs expire.
 */
export function toResponseError(
  arrival: FinalResponse,
  body: Uint8Array,
  { subject, credential, upstream }: Asked,
  shown: Readonly<Record<string, string>>,
  now: number,
): ArtifactError {
  const { status, url, home } = arrival;
  const answer = `${url.host} answered ${status}${formatErrorBody(body, shownBy(credential, shown))}`;
  if (status === 408 || status === 429 || status >= 500 || (!home && status !== 404)) {
    const afterMs = parseRetryAfter(arrival.headers['retry-after'], now);
    return new TransientError('unavailable', answer, undefined, afterMs);
  }
  switch (status) {
    case 401:
      return new RefusalError(
        'unauthenticated',
        credential.kind === 'anonymous'
          ? `${subject} needs a credential; asked as ${credential.source}: ${answer}; ${adviceOf(credential, '')}`
          : `${subject}: the credential of ${credential.source} is not accepted: ${answer}; correct or renew it`,
      );
    case 403:
      return new RefusalError(
        'denied',
        `${subject} is refused; asked as ${credential.source}: ${answer}; ` +
          adviceOf(credential, 'let that credential read the repository, or give another'),
      );
    case 404:
      return new ArtifactError(
        'not-found',
        `${subject} does not exist: ${answer}; asked as ${credential.source}${
          credential.kind === 'anonymous' && upstream.mirrorOf === undefined ? perhapsPrivate : ''
        }`,
      );
    default:
      return new ArtifactError(
        'unavailable',
        `${subject}: ${answer}, which is not an answer of an OCI registry to this request; check host and path of the reference, and any proxy`,
      );
  }
}

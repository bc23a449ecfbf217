import { Metadata, status } from '@grpc/grpc-js';
import type { ArtifactError, ErrorCode } from '../../util/error.ts';
import { shorten } from '../../util/name.ts';

/** The gRPC status of each error code (CSI 1.12, "Error Scheme"). The only place where a code becomes a status. */
const statuses: Readonly<Record<ErrorCode, status>> = {
  invalid: status.INVALID_ARGUMENT,
  exists: status.ALREADY_EXISTS,
  'not-found': status.NOT_FOUND,
  unauthenticated: status.UNAUTHENTICATED,
  denied: status.PERMISSION_DENIED,
  unmountable: status.FAILED_PRECONDITION,
  corrupt: status.UNAVAILABLE,
  unavailable: status.UNAVAILABLE,
  busy: status.ABORTED,
  cancelled: status.CANCELLED,
  exhausted: status.RESOURCE_EXHAUSTED,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
};

/** A gRPC status. The metadata `grpc-status-details-bin` is never sent. */
export type Status = { readonly code: status; readonly details: string; readonly metadata: Metadata };

/** The trailer with the error's code: two codes may share a status, and have different exit codes. */
const trailer = 'oci-artifact-error';

/** Characters of a message: four times what a Kubernetes event holds, and far below the limit of an HTTP/2 header. */
const longest = 4096;

/**
 * The message is cut after 4,096 characters, and made well-formed, because gRPC cannot send a lone surrogate. Without
 * percent signs, whoever wrote them: kubelet may use an error as the format of a message.
 *
 * @param redact removes the secrets of the request. It comes first, because the rest alters the text of a secret.
 */
export function toStatus(error: ArtifactError, redact: (text: string) => string = text => text): Status {
  const metadata = new Metadata();
  metadata.set(trailer, error.code);
  const details = shorten(redact(error.message).replaceAll('%', '\\u0025'), longest).toWellFormed();
  return { code: statuses[error.code], details, metadata };
}

/** The number of the gRPC status of an error code. */
export function toGrpcCode(code: ErrorCode): number {
  return statuses[code];
}

/** An error code as a message of this program has it; undefined for one that does not exist in this version. */
export function parseErrorCode(text: unknown): ErrorCode | undefined {
  return (Object.keys(statuses) as ErrorCode[]).find(code => code === text);
}

/** The code that toStatus added; undefined if the status is not from this program. */
export function errorCodeOf(metadata: Metadata): ErrorCode | undefined {
  return parseErrorCode(metadata.get(trailer)[0]);
}

import { Metadata, status } from '@grpc/grpc-js';
import type { ArtifactError, ErrorCode } from '../../util/error.ts';
import { shorten } from '../../util/printable.ts';

/** What kubelet is told of each kind of failure (CSI 1.12, "Error Scheme"). The only place where a code becomes a status. */
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

/** A gRPC status; its details in gRPC's own sense, the metadata `grpc-status-details-bin`, are never sent. */
export type Status = { readonly code: status; readonly details: string; readonly metadata: Metadata };

/** The trailer that names the code of the error: two codes may share a status, and have exit codes of their own. */
const trailer = 'oci-artifact-error';

/** Characters of a message: four times what an event in Kubernetes holds, and far below what HTTP/2 allows a header. */
const longest = 4096;

/** The message is made well-formed, since gRPC cannot send a lone surrogate, and cut after 4,096 characters. */
export function toStatus(error: ArtifactError): Status {
  const metadata = new Metadata();
  metadata.set(trailer, error.code);
  return { code: statuses[error.code], details: shorten(error.message, longest).toWellFormed(), metadata };
}

/** The code that toStatus named; undefined where the status is not of this program. */
export function errorCodeOf(metadata: Metadata): ErrorCode | undefined {
  const [name] = metadata.get(trailer);
  return (Object.keys(statuses) as ErrorCode[]).find(code => code === name);
}

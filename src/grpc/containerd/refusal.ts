import type { handleUnaryCall } from '@grpc/grpc-js';
import { ArtifactError } from '../../util/error.ts';
import { type Edge, unary } from '../edge/call.ts';
import type { Nothing } from '../wire/containerd/types/Nothing.ts';

/** The handler of a call that would change something. */
export type Refusing = handleUnaryCall<object, Nothing>;

/** Refuses calls that would change something: only the driver changes its cache. */
export function refusing(edge: Edge): Refusing {
  return unary(edge, async () => refuse());
}

export function refuse(): never {
  throw new ArtifactError(
    'denied',
    'this socket only shows the cache of oci-artifact-csi, which its own commands change; use oci-artifact-csi pull, pin or rm',
  );
}

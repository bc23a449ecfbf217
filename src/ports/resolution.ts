import type { Credential } from '../oci/credential.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Reference } from '../oci/reference.ts';
import type { ServedBy } from './registry.ts';

/** A reference and what it resolved to. `credential` is what the registry was shown; undefined if it was not asked. */
export type Resolution = {
  readonly reference: Reference;
  readonly descriptor: Descriptor;
  readonly credential?: Credential;
  /** The endpoint that answered. */
  readonly servedBy?: ServedBy;
};

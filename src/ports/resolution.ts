import type { Credential } from '../oci/credential.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Reference } from '../oci/reference.ts';
import type { Giver } from './registry.ts';

/** A reference and what it names. `credential` is what the registry was shown, or undefined if it was not asked. */
export type Resolution = {
  readonly reference: Reference;
  readonly descriptor: Descriptor;
  readonly credential?: Credential;
  /** Where it was asked. */
  readonly place?: Giver;
};

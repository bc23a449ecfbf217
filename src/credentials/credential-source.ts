import type { Credential } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Caller } from '../ports/registry.ts';

/** The result of a source for a repository. `why` is absent if the source has no entry. */
export type FoundCredential =
  | { readonly kind: 'credential'; readonly credential: Credential }
  | { readonly kind: 'none'; readonly why?: string };

/** One source of credentials. */
export type CredentialSource = {
  /** Its name in messages, as the subject of a sentence. */
  readonly name: string;
  /** @throws if no later source may be used; the signal's reason. */
  find(endpoint: Endpoint, caller: Caller, signal: AbortSignal): Promise<FoundCredential>;
};

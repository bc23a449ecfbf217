import type { Credential } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Caller } from '../ports/registry.ts';

/** What a source has for a place; `why` is left out where it simply has no entry. */
export type FoundCredential =
  | { readonly kind: 'credential'; readonly credential: Credential }
  | { readonly kind: 'none'; readonly why?: string };

/** One place where a credential may be found. */
export type CredentialSource = {
  /** For people, as the subject of a sentence. */
  readonly name: string;
  /** @throws where no other source may step in; the signal's reason. */
  find(place: Endpoint, caller: Caller, signal: AbortSignal): Promise<FoundCredential>;
};

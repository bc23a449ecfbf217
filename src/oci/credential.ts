import type { Endpoint } from './endpoint.ts';

/**
 * What a registry is shown. `source` names where it was found, for people (`nodePublishSecretRef`); the rest is secret
 * and never logged, quoted or written.
 */
export type Credential =
  | { readonly kind: 'anonymous'; readonly source: string }
  | { readonly kind: 'basic'; readonly source: string; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly source: string; readonly token: string };

/**
 * What one caller has to show, looked up when a place is asked: a mirror is another place than its registry. `id` is
 * equal for callers who have the same to show, and tells nothing of it.
 */
export type Keyring = {
  readonly id: string;
  /** Anonymous when nothing fits. */
  find(place: Endpoint, signal: AbortSignal): Promise<Credential>;
};

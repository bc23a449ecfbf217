import type { Retry } from '../util/retry.ts';
import type { Endpoint } from './endpoint.ts';

/**
 * The credential for a registry. `source` names where it was found (`nodePublishSecretRef`), and `advice` what to do,
 * if the source has one. The rest is secret and never logged, quoted or written.
 */
export type Credential = { readonly source: string; readonly holder: Holder } & (
  | { readonly kind: 'anonymous'; readonly advice?: string }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly token: string }
);

/**
 * The identity of a credential. Access that it proved is cached for this identity alone:
 *
 * - `anyone`: it is anonymous.
 * - `node`: every pod of the node may use it (an auth file, or a credential provider without service accounts).
 * - `service-account`: a provider returned it for a service account's token.
 * - `secret`: the callers that bring it, as the secrets of a call.
 * - `pod`: one pod, because its own pull secret or that of its service account was used.
 */
export type Holder =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'node' }
  | { readonly kind: 'service-account'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'secret' }
  | { readonly kind: 'pod' };

/**
 * The credentials of one caller, looked up for each upstream: a mirror is not the same upstream as its registry. `id`
 * is equal for callers with the same credentials, and reveals nothing of them.
 */
export type Keyring = {
  readonly id: string;
  /** Anonymous if nothing matches. */
  find(endpoint: Endpoint, signal: AbortSignal): Promise<Credential>;
  /** How its caller waits. Default: without reports. */
  readonly waiting?: Waiting;
};

/**
 * `tell` is called with each wait. `hasty`: a user waits at a prompt, so a host that does not answer is tried twice.
 */
export type Waiting = { readonly hasty: boolean; readonly tell: (retry: Retry) => void };

/** Where kubelet puts service account tokens: in the volume context, or in the secrets of a call. */
export const tokensKey = 'csi.storage.k8s.io/serviceAccount.tokens';

import type { Retry } from '../util/retry.ts';
import type { Endpoint } from './endpoint.ts';

/**
 * What a registry is shown. `source` names where it was found, for people (`nodePublishSecretRef`), and `advice` where
 * they can give one; the rest is secret and never logged, quoted or written.
 */
export type Credential = { readonly source: string; readonly holder: Holder } & (
  | { readonly kind: 'anonymous'; readonly advice?: string }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly token: string }
);

/** What a credential shows, without the words for people: equal for two that open the same. */
export function secretOf(credential: Credential): object {
  switch (credential.kind) {
    case 'anonymous':
      return { kind: credential.kind };
    case 'basic':
      return { kind: credential.kind, username: credential.username, password: credential.password };
    case 'identity-token':
      return { kind: credential.kind, token: credential.token };
  }
}

/**
 * Whom a credential stands for, so that access once given is remembered for no one else:
 *
 * - `anyone`: it is anonymous.
 * - `node`: every pod of the node may use it (an auth file, a credential provider that knows nothing of pods).
 * - `service-account`: a provider gave it for a service account's token.
 * - `secret`: whoever brings it, as the secrets of a call.
 * - `pod`: one pod, whose own pull secret it is, or its service account's; what the call brought beside it opened nothing.
 */
export type Holder =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'node' }
  | { readonly kind: 'service-account'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'secret' }
  | { readonly kind: 'pod' };

/**
 * What one caller has to show, looked up when a place is asked: a mirror is another place than its registry. `id` is
 * equal for callers who have the same to show, and tells nothing of it.
 */
export type Keyring = {
  readonly id: string;
  /** Anonymous when nothing fits. */
  find(place: Endpoint, signal: AbortSignal): Promise<Credential>;
  /** How its caller waits; as one that nobody watches unless told. */
  readonly waiting?: Waiting;
};

/** `tell` hears of each wait. `hasty`: somebody waits at a prompt, so that a host that answers nothing is tried twice. */
export type Waiting = { readonly hasty: boolean; readonly tell: (retry: Retry) => void };

/** Where kubelet puts service account tokens: in the volume context, or in the secrets of a call. */
export const tokensKey = 'csi.storage.k8s.io/serviceAccount.tokens';

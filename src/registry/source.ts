import type { Credential } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';

/** Whom a call is for, as far as credentials go. `caller` says how its secrets are named to people: a pod unless told. */
export type Caller = {
  readonly secrets: Readonly<Record<string, string>>;
  readonly caller?: 'administrator' | 'pod';
  readonly pod?: Pod;
};

export type Pod = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly serviceAccount?: string;
};

/** What a source has for a place; `why` is left out where it simply has no entry. */
export type Found =
  | { readonly kind: 'credential'; readonly credential: Credential }
  | { readonly kind: 'none'; readonly why?: string };

/** One place where a credential may be found. */
export type Source = {
  /** For people, as the subject of a sentence. */
  readonly name: string;
  /** @throws where no other source may step in; the signal's reason. */
  find(place: Endpoint, caller: Caller, signal: AbortSignal): Promise<Found>;
};

/** What the Kubernetes API knows of a pod. */
export type Pods = {
  /** The pod's pull secrets and then those of its service account; `data` undefined for one that does not exist. */
  pullSecrets(
    pod: Pod,
    signal: AbortSignal,
  ): Promise<readonly { readonly name: string; readonly data?: Readonly<Record<string, string>> }[]>;
  /** Annotations of the pod's service account. */
  annotations(pod: Pod, signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
};

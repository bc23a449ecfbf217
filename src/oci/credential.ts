/**
 * What a registry is shown. `source` names where it was found, for people (`nodePublishSecretRef`); the rest is secret
 * and never logged, quoted or written.
 */
export type Credential =
  | { readonly kind: 'anonymous'; readonly source: string }
  | { readonly kind: 'basic'; readonly source: string; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly source: string; readonly token: string };

import { tokensKey } from '../oci/credential.ts';
import { parseJson } from '../util/json.ts';

/** The token that kubelet sent for an audience, or why there is none. */
export type FoundToken =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'none'; readonly why: string };

/**
 * Returns the pod's token for an audience, from the secrets of a publish call: kubelet sends those that the CSIDriver
 * object requests, as JSON `{"<audience>": {"token": …, "expirationTimestamp": …}}`.
 */
export function findToken(secrets: Readonly<Record<string, string>>, audience: string): FoundToken {
  const text = secrets[tokensKey];
  const advice = `add {audience: ${JSON.stringify(audience)}} to spec.tokenRequests of the CSIDriver object`;
  if (text === undefined) {
    const why = `this call brings no service account tokens; for kubelet to bring them with a mount, ${advice}`;
    return { kind: 'none', why };
  }
  const token = fieldOf(fieldOf(parse(text), audience), 'token');
  if (typeof token === 'string' && token !== '') return { kind: 'token', token };
  return {
    kind: 'none',
    why: `kubelet brings no service account token for the audience ${JSON.stringify(audience)}; ${advice}`,
  };
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function fieldOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[key];
}

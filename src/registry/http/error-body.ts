import type { Credential } from '../../oci/credential.ts';
import { parseJson } from '../../util/json.ts';

const maxBytes = 256;
/** Shorter texts occur in every message. */
const shortest = 4;

/**
 * Formats an error body of the OCI distribution API (distribution spec, "Error Codes"): ` (CODE: message)` of its first
 * error, without control characters, at most 256 bytes. It is empty for any other body, and for one that repeats a text
 * of `shown`. Server text is quoted only in this form.
 */
export function formatErrorBody(body: Uint8Array, shown: readonly string[]): string {
  let parsed: unknown;
  try {
    parsed = parseJson(body);
  } catch {
    return '';
  }
  const errors = property(parsed, 'errors');
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  const code = property(first, 'code');
  const message = property(first, 'message');
  if (typeof code !== 'string' || !/^[A-Z][A-Z0-9_]{0,63}$/.test(code)) return '';
  const text = typeof message === 'string' && message !== '' ? `${code}: ${message}` : code;
  return shown.some(secret => text.includes(secret)) ? '' : ` (${cut(text.replace(/\p{C}+/gu, ' '))})`;
}

/** Returns the texts that a server could repeat from these headers: their values, and the secret in them. */
export function shownBy(
  credential: Credential,
  headers: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const secret =
    'password' in credential ? credential.password : 'token' in credential ? credential.token : '';
  const sent = Object.values(headers).map((value = '') => withoutPadding(value.replace(/^\w+ /, '')));
  return [secret, encodeURIComponent(secret.toWellFormed()), ...sent].filter(text => text.length >= shortest);
}

/** Without the padding of base64. A regular expression would take quadratic time for many `=` that do not end it. */
function withoutPadding(text: string): string {
  let end = text.length;
  while (text[end - 1] === '=') end--;
  return text.slice(0, end);
}

/** Cuts a text to whole characters that fit. */
function cut(text: string): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes));
  return text.slice(0, read);
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

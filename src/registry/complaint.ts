const maxBytes = 256;

/**
 * What an error body of the OCI distribution API says: ` (CODE: message)` of its first error, without control
 * characters, 256 bytes at most; empty for anything that is not such a body. A server's text is quoted only so.
 */
export function formatComplaint(body: Uint8Array): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(body).toString());
  } catch {
    return '';
  }
  const errors = property(parsed, 'errors');
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  const code = property(first, 'code');
  const message = property(first, 'message');
  if (typeof code !== 'string' || !/^[A-Z][A-Z0-9_]{0,63}$/.test(code)) return '';
  const text = typeof message === 'string' && message !== '' ? `${code}: ${message}` : code;
  return ` (${cut(text.replace(/\p{C}+/gu, ' '))})`;
}

/** Whole characters of a text that fit. */
function cut(text: string): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes));
  return text.slice(0, read);
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

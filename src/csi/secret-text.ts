import { tokensKey } from '../oci/credential.ts';

const mark = '[redacted]';

/** Shorter texts are everywhere: redacting them would hide the error and no secret. */
const shortest = 4;

/**
 * Every secret text of a request, longest first: the values of any map named `secrets` and of the tokens key, and
 * where such a value is JSON (`.dockerconfigjson`) all texts in it, and what their base64 `auth` hides.
 */
export function secretTexts(request: unknown): readonly string[] {
  const found = new Set<string>();
  collect(request, false, found);
  return [...found].filter(text => text.length >= shortest).sort((a, b) => b.length - a.length);
}

/** The text without any of the secrets. */
export function redact(text: string, secrets: readonly string[]): string {
  return secrets.reduce((shown, secret) => shown.replaceAll(secret, mark), text);
}

function collect(value: unknown, secret: boolean, found: Set<string>): void {
  if (typeof value === 'string' && secret) collectText(value, found);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  for (const [key, inner] of Object.entries(value)) {
    collect(inner, secret || key === 'secrets' || key === tokensKey, found);
    if (secret && key === 'auth' && typeof inner === 'string') {
      const pair = Buffer.from(inner, 'base64').toString();
      found.add(pair).add(pair.slice(pair.indexOf(':') + 1));
    }
  }
}

function collectText(text: string, found: Set<string>): void {
  found.add(text).add(text.trim());
  if (!/^\s*[{[]/.test(text)) return;
  try {
    collect(JSON.parse(text), true, found);
  } catch {
    // Not JSON after all: the whole text is the secret.
  }
}

import { tokensKey } from '../oci/credential.ts';
import { parseJson } from '../util/json.ts';

const mark = '[redacted]';

/** Shorter texts are too common: redacting them would hide the error. */
const shortest = 4;

/**
 * A text of a few letters occurs in the messages of this program (`secret`, `user`). Redacting it would garble the
 * message and reveal the text by the gap. No text from outside is at risk: a registry is quoted only if it repeats
 * nothing that it was sent.
 */
const word = /^[a-z]{1,11}$/i;

/**
 * Texts within secrets that are looked for. More would hold the main thread for seconds at each call, because every
 * message is searched for every one. The pull secrets of a whole company have fewer.
 */
const mostTexts = 4096;

/** What a text is replaced by if the secrets have more texts. */
const withheld = `[redacted, because the secrets of this request have more than ${mostTexts} texts; use a Secret with fewer]`;

/** The texts that no message may show; undefined if there are too many to look for. */
export type Secrets = readonly string[] | undefined;

/**
 * Characters of plain text that are searched for user names, so that a request with 40,000 user names and long
 * attributes cannot hold the main thread. Honest requests have fewer.
 */
const mostPlain = 16 * 1024;

/**
 * Every secret text of a request, longest first: the values of any map named `secrets` and of the tokens key; if such a
 * value is JSON (`.dockerconfigjson`), all texts in it, and the content of their base64 `auth`. A user name is not
 * secret if the request also has it in plain text: it is often a part of the reference, which messages must name.
 *
 * @returns undefined if there are more than 4,096 texts.
 */
export function secretTexts(request: unknown): Secrets {
  const found: Found = { secrets: new Set(), users: new Set(), plain: [], left: mostTexts };
  collect(request, '', false, found);
  if (found.left < 0) return undefined;
  // Nothing that is looked for has a NUL.
  const plain = found.plain.join('\0').slice(0, mostPlain);
  const hidden = [...found.users].filter(user => user.length >= shortest && !plain.includes(user));
  return [...found.secrets.union(new Set(hidden))]
    .filter(text => text.length >= shortest && !word.test(text))
    .sort((a, b) => b.length - a.length);
}

/** The text with all secrets replaced; nothing of it if there are too many of them. */
export function redact(text: string, secrets: Secrets): string {
  if (secrets === undefined) return withheld;
  return secrets.reduce((shown, secret) => shown.replaceAll(secret, mark), text);
}

type Found = {
  readonly secrets: Set<string>;
  readonly users: Set<string>;
  readonly plain: string[];
  /** How many texts within secrets may still come; negative if there were too many. */
  left: number;
};

function collect(value: unknown, key: string, secret: boolean, found: Found): void {
  if (secret && typeof value !== 'object') found.left--;
  if (found.left < 0) return;
  if (typeof value === 'string') {
    if (!secret) found.plain.push(value);
    else if (key === 'username') found.users.add(value);
    else collectText(value, found);
  }
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  for (const [name, inner] of Object.entries(value)) {
    if (found.left < 0) return;
    collect(inner, name, secret || name === 'secrets' || name === tokensKey, found);
    if (secret && name === 'auth' && typeof inner === 'string') {
      const pair = Buffer.from(inner, 'base64').toString();
      found.secrets.add(pair).add(pair.slice(pair.indexOf(':') + 1));
    }
  }
}

function collectText(text: string, found: Found): void {
  found.secrets.add(text).add(text.trim());
  if (!/^\s*[{[]/.test(text)) return;
  try {
    collect(parseJson(text), '', true, found);
  } catch {
    // Not JSON: the whole text is the secret.
  }
}

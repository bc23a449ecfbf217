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

/** Texts within secrets that are looked for. The pull secrets of a whole company have fewer. */
const mostTexts = 4096;

/** What a text is replaced by if the secrets have more texts. */
const withheld = `[redacted, because the secrets of this request have more than ${mostTexts} texts; use a Secret with fewer]`;

/** The texts that no message may show; undefined if there are too many to look for. */
export type Secrets = readonly string[] | undefined;

/** Characters of a text that are searched: more than any message of this program has. */
const longest = 8192;

/**
 * A longer secret is found by so many of its first characters. So the work for a text has a bound, however many and
 * however long the secrets are, and a secret is also found where a message cuts it.
 */
const headLength = 32;

/**
 * Every secret text of a request: the values of any map named `secrets` and of the tokens key; if such a value is JSON
 * (`.dockerconfigjson`), all texts in it, and the content of their base64 `auth`. A user name is not secret if the
 * request also has it in plain text: it is often a part of the reference, which messages must name.
 *
 * @returns undefined if there are more than 4,096 texts.
 */
export function secretTexts(request: unknown): Secrets {
  const found: Found = { secrets: new Set(), users: new Set(), plain: [], left: mostTexts };
  collect(request, '', false, found);
  if (found.left < 0) return undefined;
  // Nothing that is looked for has a NUL.
  const plain = found.plain.join('\0').slice(0, longest);
  const shown = new Set<string>();
  const users = createIndex([...found.users].filter(user => user.length >= shortest));
  for (let at = 0; at < plain.length; at++) for (const { head } of headsAt(users, plain, at)) shown.add(head);
  const hidden = [...found.users].filter(user => !shown.has(headOf(user)));
  const texts = [...found.secrets.union(new Set(hidden))];
  const secrets = texts.filter(text => text.length >= shortest && !word.test(text));
  return secrets.length > mostTexts ? undefined : secrets;
}

/**
 * The first 8,192 characters of the text with all secrets replaced, those that overlap by one mark; nothing of it if
 * there are too many of them. Only the text itself is searched, and never a mark.
 */
export function redact(text: string, secrets: Secrets): string {
  if (secrets === undefined) return withheld;
  const index = createIndex(secrets);
  const length = Math.min(text.length, longest);
  const parts: string[] = [];
  let end = 0; // of what is shown or hidden so far
  for (let at = 0; at < length; at++) {
    for (const { hides } of headsAt(index, text, at)) {
      if (at > end || parts.length === 0) parts.push(text.slice(end, at));
      end = Math.max(end, at + hides);
    }
  }
  const rest = text.slice(end, length);
  return [...parts, length < text.length ? `${rest}…` : rest].join(mark);
}

/** Texts by their heads, and these by their lengths. */
type SecretIndex = {
  readonly starts: ReadonlySet<string>;
  /** How much to hide where a head is found: the length of the longest text that begins so. */
  readonly heads: ReadonlyMap<number, ReadonlyMap<string, number>>;
};

const headOf = (text: string): string => text.slice(0, headLength);

function createIndex(texts: readonly string[]): SecretIndex {
  const starts = new Set<string>();
  const heads = new Map<number, Map<string, number>>();
  for (const text of texts) {
    const head = headOf(text);
    const known = heads.getOrInsertComputed(head.length, () => new Map<string, number>());
    known.set(head, Math.max(known.get(head) ?? 0, text.length));
    starts.add(text.slice(0, shortest));
  }
  return { starts, heads };
}

/** The heads that stand in a text at an index: one for each length at the most. */
function* headsAt(
  { starts, heads }: SecretIndex,
  text: string,
  at: number,
): Generator<{ head: string; hides: number }> {
  if (!starts.has(text.slice(at, at + shortest))) return;
  for (const [length, known] of heads) {
    const head = text.slice(at, at + length);
    const hides = known.get(head);
    if (hides !== undefined) yield { head, hides };
  }
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

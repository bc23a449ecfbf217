import type { Credential, Holder } from '../oci/credential.ts';
import { ArtifactError, type ErrorCode } from '../util/error.ts';
import {
  type AuthKey,
  bySpecificity,
  canonicalHost,
  keyMatches,
  type Place,
  parseAuthKey,
} from './auth-key.ts';

/** Where a configuration is from, for people; whom its credentials stand for, and the code of an error in it. */
export type Origin = { readonly name: string; readonly holder: Holder; readonly code: ErrorCode };

/** The credentials of a docker config.json, a containers auth.json or a Kubernetes pull secret. */
export type DockerConfig = {
  readonly origin: Origin;
  readonly entries: readonly Entry[];
  /** Hosts whose credential a helper program has. */
  readonly helped: ReadonlySet<string>;
  /** Whether a credsStore has those of the entries that are empty. */
  readonly store: boolean;
};

type Entry = { readonly key: AuthKey; readonly value: unknown };

/** `elsewhere`: only a helper program or a store has it, which this driver does not ask. */
export type Found =
  | { readonly kind: 'credential'; readonly credential: Credential }
  | { readonly kind: 'elsewhere'; readonly why: string }
  | { readonly kind: 'none' };

const none: Found = { kind: 'none' };

/**
 * Parses a config.json (`auths`), or the older form that has the entries at the top (`.dockercfg`). Entries are judged
 * only when one of them is wanted.
 *
 * @throws ArtifactError with the origin's code; never a part of the text, which holds secrets.
 */
export function parseDockerConfig(text: string, form: 'auths' | 'dockercfg', origin: Origin): DockerConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new ArtifactError(origin.code, `${origin.name} is not JSON; write it again as docker login does`);
  }
  const top = toFields(parsed, '', origin);
  const auths = form === 'dockercfg' ? top : toFields(top['auths'] ?? {}, 'its "auths"', origin);
  const helpers = form === 'dockercfg' ? {} : toFields(top['credHelpers'] ?? {}, 'its "credHelpers"', origin);
  return {
    origin,
    entries: Object.entries(auths).map(([key, value]) => ({ key: parseAuthKey(key), value })),
    helped: new Set(Object.keys(helpers).map(key => parseAuthKey(key).host)),
    store: form === 'auths' && typeof top['credsStore'] === 'string' && top['credsStore'] !== '',
  };
}

/**
 * The credential of the most specific key: host/namespace/repository, then host/namespace, then host; of equal ones an
 * exact host before a wildcard, and a plain key before one with a scheme or `/v1/`. Empty entries are passed over.
 *
 * @throws ArtifactError with the origin's code when that entry is malformed, naming its key and not its content.
 */
export function findCredential(config: DockerConfig, place: Place): Found {
  const host = canonicalHost(place.host);
  const matching = config.entries.filter(entry => keyMatches(entry.key, host, place.path));
  for (const entry of matching.sort((left, right) => bySpecificity(left.key, right.key))) {
    const credential = toCredential(entry, config.origin);
    if (credential !== undefined) return { kind: 'credential', credential };
  }
  if (!config.helped.has(host) && !(config.store && matching.length > 0)) return none;
  return {
    kind: 'elsewhere',
    why: `${config.origin.name} leaves the credential for ${host} to a program (${config.helped.has(host) ? 'credHelpers' : 'credsStore'})`,
  };
}

/** @throws ArtifactError with the origin's code where the two cannot go into an Authorization header. */
export function toBasic(
  username: string,
  password: string,
  label: string,
  origin: Origin,
): Credential | undefined {
  if (username === '' && password === '') return undefined;
  if (/[\r\n\0]/.test(username + password)) {
    throw malformed(
      label,
      'user name or password has a line break or NUL in it; store it without (printf, not echo)',
      origin,
    );
  }
  if (username.includes(':')) throw malformed(label, 'the user name has a colon', origin);
  return {
    kind: 'basic',
    holder: origin.holder,
    source: label === '' ? origin.name : `${origin.name} (${label})`,
    username,
    password,
  };
}

function toCredential(entry: Entry, origin: Origin): Credential | undefined {
  const { host, path } = entry.key;
  const label = path === '' ? host : `${host}/${path}`;
  const fields = toFields(entry.value, `its entry for ${label}`, origin);
  const field = (name: string): string => {
    const value = fields[name] ?? '';
    if (typeof value === 'string') return value;
    throw malformed(label, `"${name}" is not text`, origin);
  };
  const token = field('identitytoken');
  if (token !== '') {
    return { kind: 'identity-token', holder: origin.holder, source: `${origin.name} (${label})`, token };
  }
  const auth = field('auth').replace(/[\r\n]/g, '');
  if (auth === '') return toBasic(field('username'), field('password'), label, origin);
  const decoded = decode(auth);
  const colon = decoded?.indexOf(':') ?? -1;
  if (decoded === undefined || colon === -1) {
    throw malformed(label, '"auth" is not base64 of user:password', origin);
  }
  return toBasic(decoded.slice(0, colon), decoded.slice(colon + 1), label, origin);
}

function decode(base64: string): string | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
}

function toFields(value: unknown, what: string, origin: Origin): Readonly<Record<string, unknown>> {
  if (isFields(value)) return value;
  throw new ArtifactError(
    origin.code,
    `${origin.name} cannot be used: ${what === '' ? 'it' : what} is not a JSON object`,
  );
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(label: string, why: string, origin: Origin): ArtifactError {
  const entry = label === '' ? '' : `in its entry for ${label} `;
  return new ArtifactError(origin.code, `${origin.name} cannot be used: ${entry}${why}`);
}

import { type Platform, parsePlatform } from '../oci/platform.ts';
import { parseReference } from '../oci/reference.ts';
import type { PullPolicy, PullRequest, Selection } from '../ports/request.ts';
import { ArtifactError, invalidValue } from '../util/error.ts';
import { flawOfGlob } from '../util/glob.ts';
import { quoteName } from '../util/name.ts';
import { suggest } from '../util/near.ts';

/** The attributes of a volume. Secrets are passed separately. */
export type VolumeAttributes = Omit<PullRequest, 'secrets' | 'caller' | 'pod'>;

const known = ['reference', 'pullPolicy', 'platform', 'unpack', 'subPath', 'include', 'exclude', 'loading'];

/** Whether Kubernetes adds this key to a volume context. All other keys are attributes of the user. */
export function isKubernetesKey(key: string): boolean {
  return key.startsWith('csi.storage.k8s.io/') || key.startsWith('storage.kubernetes.io/');
}

const example = 'the artifact to mount, such as ghcr.io/org/model:v1';

/** PATH_MAX. No attribute needs more. */
const longest = 4096;

/**
 * Parses the attributes of a volume. Ignores keys of Kubernetes.
 *
 * @throws ArtifactError `invalid` for an unknown or missing attribute, and for a value that is empty, longer than 4,096
 * bytes, has control characters or does not parse; the message says what to write.
 */
export function parseAttributes(context: Readonly<Record<string, string>>): VolumeAttributes {
  const attributes = new Map(Object.entries(context).filter(([key]) => !isKubernetesKey(key)));
  for (const [key, value] of attributes) verifyAttribute(key, value);
  const reference = attributes.get('reference');
  if (reference === undefined) {
    throw new ArtifactError('invalid', `the volume attribute reference is missing; set it to ${example}`);
  }
  verifyReference(reference);
  const pullPolicy = attributes.get('pullPolicy');
  const platform = attributes.get('platform');
  const loading = attributes.get('loading');
  return {
    reference,
    ...(pullPolicy === undefined ? {} : { pullPolicy: parsePullPolicy(pullPolicy) }),
    ...(platform === undefined ? {} : { platform: parsePlatformAttribute(platform) }),
    ...(loading === undefined ? {} : { loading: parseLoading(loading) }),
    selection: toSelection(attributes),
  };
}

function toSelection(attributes: ReadonlyMap<string, string>): Selection {
  const subPath = attributes.get('subPath');
  return {
    unpack: parseUnpack(attributes.get('unpack') ?? 'auto'),
    include: parseGlobs('include', attributes.get('include')),
    exclude: parseGlobs('exclude', attributes.get('exclude')),
    ...(subPath === undefined ? {} : { subPath: parseSubPath(subPath) }),
  };
}

function verifyAttribute(key: string, value: string): void {
  if (key === 'defaultMode') {
    throw new ArtifactError(
      'invalid',
      'the volume attribute defaultMode is reserved and has no meaning yet; leave it out (files are 0644 and owned by root, those of tar layers as the tar says)',
    );
  }
  if (!known.includes(key)) {
    throw new ArtifactError(
      'invalid',
      `there is no volume attribute ${quoteName(key)}${suggest(key, known)}; those that exist are ${known.join(', ')}`,
    );
  }
  if (value === '')
    throw refusal(key, value, key === 'reference' ? `must be ${example}` : 'must not be empty; leave it out');
  if (Buffer.byteLength(value) > longest) throw refusal(key, value, `must have at most ${longest} bytes`);
  if (/\p{Cc}/u.test(value)) throw refusal(key, value, 'must have no control characters, such as newlines');
}

/** Other names of Docker Hub's API. */
const hub = ['registry-1.docker.io', 'registry.hub.docker.com'];

/**
 * The node's configuration decides what a reference means. A rule for a registry must also apply to its other names.
 */
function verifyReference(text: string): void {
  const parsed = parseReference(text);
  if (parsed.kind === 'short') return;
  const { registry } = parsed.reference;
  const host = registry.replace(/:443$/, '');
  const usual = hub.includes(host) ? 'docker.io' : host;
  if (registry !== usual)
    throw refusal('reference', text, `must have ${usual} for ${registry}, its usual name`);
}

function parsePullPolicy(text: string): PullPolicy {
  if (text === 'Always' || text === 'IfNotPresent' || text === 'Never') return text;
  throw refusal('pullPolicy', text, 'must be Always, IfNotPresent or Never');
}

function parsePlatformAttribute(text: string): Platform {
  const platform = parsePlatform(text);
  if (platform !== undefined) return platform;
  throw refusal(
    'platform',
    text,
    'must be os/arch or os/arch/variant, such as linux/arm64/v8, in lower case',
  );
}

function parseUnpack(text: string): Selection['unpack'] {
  if (text === 'auto' || text === 'never' || text === 'always') return text;
  throw refusal('unpack', text, 'must be auto, never or always');
}

function parseLoading(text: string): NonNullable<PullRequest['loading']> {
  if (text === 'full' || text === 'onDemand') return text;
  throw refusal('loading', text, 'must be full or onDemand');
}

/** Globs separated by commas, also within brackets; white space around each is ignored. */
function parseGlobs(key: string, text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  const globs = text.split(',').map(glob => glob.trim());
  if (globs.includes(''))
    throw refusal(key, text, 'must be globs with one comma between them, such as *.json,weights/**');
  for (const glob of globs) {
    const flaw = flawOfGlob(glob);
    if (flaw !== undefined) throw refusal(key, text, `the glob ${quoteName(glob)} cannot be used: ${flaw}`);
  }
  return globs;
}

/** Normalizes a path of the tree, so that `a/b` and `./a//b/` share a view. */
function parseSubPath(text: string): string {
  const parts = text.split('/').filter(part => part !== '' && part !== '.');
  if (text.startsWith('/') || parts.includes('..')) {
    throw refusal('subPath', text, 'must be a path relative to the root of the artifact, with no ".." in it');
  }
  if (parts.length === 0) throw refusal('subPath', text, 'is the whole artifact; leave it out');
  return parts.join('/');
}

function refusal(key: string, value: string, why: string): ArtifactError {
  return invalidValue(`volume attribute ${key}`, value, why);
}

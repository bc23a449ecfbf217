import { withoutHttpsPort } from '../oci/reference.ts';
import { type GlobBudget, matchesGlob } from '../util/glob.ts';

/** A registry host and a repository there. */
export type RegistryPath = { readonly host: string; readonly path: string };

/** A canonical key: `host` may have globs in its labels, `path` is empty for the whole host. */
export type AuthKey = {
  readonly host: string;
  readonly path: string;
  /** Whether it had an older spelling. */
  readonly plain: boolean;
};

const hub = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** Every name of Docker Hub becomes `docker.io`, and the https port is removed. */
export function canonicalHost(host: string): string {
  const name = withoutHttpsPort(host);
  return hub.has(name) ? 'docker.io' : name;
}

/** `https://index.docker.io/v1/` and similar keys are hosts; `host/namespace` keeps its path. */
export function parseAuthKey(key: string): AuthKey {
  const [first = '', ...rest] = key.replace(/^https?:\/\//i, '').split('/');
  const host = canonicalHost(first.toLowerCase());
  const path = rest
    .filter(part => part !== '')
    .join('/')
    .replace(/^v[12]$/, '');
  return { host, path, plain: key === (path === '' ? host : `${host}/${path}`) };
}

/** Whether a key applies to a repository; `host` is canonical. It does not once the budget is below zero. */
export function keyMatches(key: AuthKey, host: string, path: string, budget: GlobBudget): boolean {
  return hostMatches(key.host, host, budget) && (key.path === '' || `${path}/`.startsWith(`${key.path}/`));
}

/** Whether an image name, `host/path`, matches a pattern of `matchImages` as in kubelet: the path is a plain prefix. */
export function imageMatches(pattern: string, host: string, path: string): boolean {
  const slash = pattern.indexOf('/');
  const wanted = slash === -1 ? pattern : pattern.slice(0, slash);
  const prefix = slash === -1 ? '' : pattern.slice(slash);
  return hostMatches(canonicalHost(wanted), host) && `/${path}`.startsWith(prefix);
}

/** An IPv6 address also has brackets. */
export function isGlob(host: string): boolean {
  return /[*?[]/.test(host) && !/^\[[^\]]*:/.test(host);
}

/** As kubelet reads pull secrets: globs within the labels of a name, the same number of labels, the same port. */
function hostMatches(pattern: string, host: string, budget?: GlobBudget): boolean {
  if (pattern === host) return true;
  if (!isGlob(pattern) || pattern.length > longestPattern) return false;
  if (budget !== undefined) budget.steps -= pattern.length;
  const [wanted, wantedPort] = splitPort(pattern);
  const [name, port] = splitPort(host);
  const globs = wanted.split('.');
  const labels = name.split('.');
  return (
    wantedPort === port &&
    globs.length === labels.length &&
    globs.every((glob, index) => matchesGlob(glob, labels[index] ?? '', budget))
  );
}

/** Twice the length of a DNS name: a pull secret comes from a user, and may have a megabyte of stars. */
const longestPattern = 512;

function splitPort(host: string): readonly [name: string, port: string] {
  const port = /:\d+$/.exec(host)?.[0] ?? '';
  return [host.slice(0, host.length - port.length), port];
}

/** Sorts the longer path first, then an exact host before a glob, then a plain key. */
export function bySpecificity(left: AuthKey, right: AuthKey): number {
  return (
    right.path.length - left.path.length ||
    Number(isGlob(left.host)) - Number(isGlob(right.host)) ||
    Number(right.plain) - Number(left.plain)
  );
}

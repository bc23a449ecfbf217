/** A registry's API and a repository there. */
export type Place = { readonly host: string; readonly path: string };

/** A key in its one spelling: `host` may have `*` in its labels, `path` is empty for the whole host. */
export type AuthKey = {
  readonly host: string;
  readonly path: string;
  /** Whether it was written so. */
  readonly plain: boolean;
};

const hub = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** Docker Hub under all of its names is `docker.io`. */
export function canonicalHost(host: string): string {
  return hub.has(host) ? 'docker.io' : host;
}

/** `https://index.docker.io/v1/` and its like are hosts; `host/namespace` keeps its path. */
export function parseAuthKey(key: string): AuthKey {
  const [first = '', ...rest] = key.replace(/^https?:\/\//i, '').split('/');
  const host = canonicalHost(first.toLowerCase());
  const path = rest
    .filter(part => part !== '')
    .join('/')
    .replace(/^v[12]$/, '');
  return { host, path, plain: key === (path === '' ? host : `${host}/${path}`) };
}

/** Whether a key is for a repository; `host` is canonical. */
export function keyMatches(key: AuthKey, host: string, path: string): boolean {
  return hostMatches(key.host, host) && (key.path === '' || `${path}/`.startsWith(`${key.path}/`));
}

/** As kubelet reads pull secrets: `*` stands for any part of one label; one star a label. */
function hostMatches(pattern: string, host: string): boolean {
  if (!pattern.includes('*')) return pattern === host;
  const labels = host.split('.');
  const wanted = pattern.split('.');
  return (
    wanted.length === labels.length && wanted.every((want, index) => labelMatches(want, labels[index] ?? ''))
  );
}

function labelMatches(pattern: string, label: string): boolean {
  const [before = '', after, ...more] = pattern.split('*');
  if (after === undefined) return pattern === label;
  const middle = label.slice(before.length, label.length - after.length);
  return (
    more.length === 0 &&
    label.length >= before.length + after.length &&
    label.startsWith(before) &&
    label.endsWith(after) &&
    !middle.includes(':')
  );
}

/** Sorts the longer path first, then an exact host before a wildcard, then a plain key. */
export function bySpecificity(left: AuthKey, right: AuthKey): number {
  return (
    right.path.length - left.path.length ||
    Number(left.host.includes('*')) - Number(right.host.includes('*')) ||
    Number(right.plain) - Number(left.plain)
  );
}

import { lastGood, type Part } from '../../configfile/watched-file.ts';
import type { Labels } from '../../ports/kube.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import type { HostsDir } from './hosts-dir.ts';
import type { HostUrl } from './hosts-toml.ts';
import { fillPlaceholders, hasPlaceholder } from './placeholders.ts';
import type { Registries } from './registries.ts';

/** The configuration that has mirrors. */
type Mirrors = { readonly registries: Part<Registries>; readonly hosts: Part<HostsDir> };

/** What names a mirror: a URL of hosts.toml, or a location of registries.conf. */
type Address = HostUrl | string;

function formatAddress(address: Address): string {
  return typeof address === 'string' ? address : `${address.scheme}://${address.host}${address.root}`;
}

/** Whether the address depends on labels of the node. */
export function isLabelled(address: Address | undefined): boolean {
  return address !== undefined && hasPlaceholder(formatAddress(address));
}

/**
 * Returns the URL of a host for a node with these labels.
 *
 * @throws ArtifactError `denied` if the node lacks a label, or the result is another kind of address.
 */
export function placeUrl(url: HostUrl, labels: Labels): HostUrl {
  const placed = {
    ...url,
    host: fillPlaceholders(url.host, labels).toLowerCase(),
    root: fillPlaceholders(url.root, labels),
  };
  const parsed = URL.parse(formatAddress(placed));
  if (parsed?.host === placed.host && parsed.pathname === (placed.root || '/')) return placed;
  throw new ArtifactError('denied', `its labels make ${formatAddress(placed)}, which is no address`);
}

/** The same for a location. Its repositories are checked as those of every location. */
export function placeLocation(location: string, labels: Labels): string {
  return fillPlaceholders(location, labels).toLowerCase();
}

/** The mirrors whose addresses depend on labels, with the file that has each. */
export function listLabelled({
  registries,
  hosts,
}: Mirrors): readonly { readonly address: Address; readonly file: string }[] {
  const byRule = (lastGood(registries)?.rules ?? []).flatMap(({ mirrors, file }) =>
    mirrors.map(({ location }) => ({ address: location, file })),
  );
  const byHost = [...(lastGood(hosts)?.values() ?? [])].flatMap(part => {
    const found = lastGood(part);
    return (found?.hosts ?? []).flatMap(({ address }) =>
      address === undefined || found === undefined ? [] : [{ address, file: found.file }],
    );
  });
  return [...byRule, ...byHost].filter(({ address }) => isLabelled(address));
}

/** Returns which mirrors are skipped on a node with these labels, and why, one line each. */
export function listSkipped(mirrors: Mirrors, labels: Labels): readonly string[] {
  return listLabelled(mirrors).flatMap(({ address, file }) => {
    try {
      void (typeof address === 'string' ? placeLocation(address, labels) : placeUrl(address, labels));
      return [];
    } catch (thrown) {
      const why = toArtifactError(thrown).message;
      return [`the mirror ${formatAddress(address)} of ${file} is skipped: ${why}`];
    }
  });
}

import { ArtifactError } from '../util/error.ts';

/** os/arch/variant as Go and the image index name them (OCI image spec, image-index.md). */
export type Platform = { readonly os: string; readonly architecture: string; readonly variant?: string };

const architectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  ppc64: 'ppc64le',
  mipsel: 'mipsle',
};

/** Linux on this machine's processor, from Node's name for it (`process.arch`). */
export function toPlatform(nodeArchitecture: string): Platform {
  return { os: 'linux', architecture: architectures[nodeArchitecture] ?? nodeArchitecture };
}

/** Undefined for anything but os/arch or os/arch/variant. */
export function parsePlatform(text: string): Platform | undefined {
  const match = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9.]+))?$/.exec(text);
  if (match === null) return undefined;
  const [, os = '', architecture = '', variant] = match;
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/**
 * The entry of an index for a platform: the best variant first, then the first entry without a platform. On arm a
 * later processor runs what was built for an earlier one; arm64 and arm64/v8 are the same.
 *
 * @throws ArtifactError `unmountable` naming what there is.
 */
export function selectPlatform<Entry extends { readonly platform?: Platform }>(
  entries: readonly Entry[],
  wanted: Platform,
  label: string,
): Entry {
  for (const variant of acceptableVariants(wanted)) {
    const match = entries.find(
      ({ platform }) =>
        platform?.os === wanted.os &&
        platform.architecture === wanted.architecture &&
        (platform.variant ?? '') === variant,
    );
    if (match !== undefined) return match;
  }
  const anyPlatform = entries.find(({ platform }) => platform === undefined);
  if (anyPlatform !== undefined) return anyPlatform;
  const there = [
    ...new Set(entries.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]))),
  ];
  throw new ArtifactError(
    'unmountable',
    `the index of ${label} has nothing for ${formatPlatform(wanted)}; ` +
      (there.length === 0
        ? 'it is empty'
        : `it has ${there.slice(0, 12).join(', ')}: set the attribute platform to one of them, or push one for this node`),
  );
}

const armVariants = ['v8', 'v7', 'v6', 'v5'];

function acceptableVariants({ architecture, variant }: Platform): readonly string[] {
  if (architecture === 'arm64')
    return variant === undefined || variant === 'v8' ? ['v8', ''] : [variant, 'v8', ''];
  if (architecture === 'arm') {
    const from = armVariants.indexOf(variant ?? 'v7');
    return from === -1 ? [variant ?? ''] : [...armVariants.slice(from), ''];
  }
  if (architecture === 'amd64' && variant === undefined) return ['', 'v1'];
  return variant === undefined ? [''] : [variant, ''];
}

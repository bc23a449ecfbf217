import { ArtifactError } from '../util/error.ts';

/** os/arch/variant in the names of Go and the image index (OCI image spec, image-index.md). */
export type Platform = { readonly os: string; readonly architecture: string; readonly variant?: string };

const architectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  ppc64: 'ppc64le',
  mipsel: 'mipsle',
};

/** Linux on this machine's architecture, from Node's name for it (`process.arch`). */
export function toPlatform(nodeArchitecture: string): Platform {
  return { os: 'linux', architecture: architectures[nodeArchitecture] ?? nodeArchitecture };
}

/** Returns undefined for anything but os/arch or os/arch/variant. */
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
 * Selects the entry of an index for a platform: the best that the platform runs, in the order of containerd's matcher,
 * then the first entry without a platform. An index may spell a platform in several ways; all of them count.
 *
 * @throws ArtifactError `unmountable` naming the existing platforms.
 */
export function selectPlatform<Entry extends { readonly platform?: Platform }>(
  entries: readonly Entry[],
  wanted: Platform,
  label: string,
): Entry {
  const spelled = new Map<string, Entry>();
  for (const entry of entries) {
    const key = entry.platform === undefined ? anyPlatform : formatPlatform(normalize(entry.platform));
    if (!spelled.has(key)) spelled.set(key, entry);
  }
  for (const key of [...runnable(normalize(wanted)).map(formatPlatform), anyPlatform]) {
    const match = spelled.get(key);
    if (match !== undefined) return match;
  }
  const there = [
    ...new Set(entries.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]))),
  ];
  throw new ArtifactError(
    'unmountable',
    `the index of ${label} has nothing for ${formatPlatform(wanted)}; ` +
      (there.length === 0
        ? 'it lists no manifest with a platform; push it again'
        : `it has ${there.slice(0, 12).join(', ')}: set the attribute platform to one of them, or push one for this node`),
  );
}

const anyPlatform = '';

/** Other tools' names of architectures: the architecture, and the variant that the name implies. */
const aliases: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  i386: ['386', ''],
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
};

/** Normalizes a platform. amd64/v1 and arm64/v8 are those without a variant; arm without one is v7. */
function normalize({ os, architecture, variant = '' }: Platform): Platform {
  const given = architecture.toLowerCase();
  const [name, implied] = aliases[given] ?? [given];
  const numbered = (implied ?? variant.toLowerCase()).replace(/^(?=\d)/, 'v').replace(/\.0$/, '');
  const common: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8' };
  const own = numbered === common[name] ? '' : numbered === '' && name === 'arm' ? 'v7' : numbered;
  return {
    os: os.toLowerCase() || 'linux',
    architecture: name,
    ...(own === '' ? {} : { variant: own }),
  };
}

/** Returns what a platform runs, best first, as containerd's `platforms.Only`. It takes a normalized platform. */
function runnable({ os, architecture, variant = '' }: Platform): readonly Platform[] {
  const on = (name: string, variants: readonly string[]): readonly Platform[] =>
    variants.map(each => normalize({ os, architecture: name, variant: each }));
  switch (architecture) {
    case 'amd64':
      return [...on('amd64', downFrom(variant, 1)), ...on('386', [''])];
    case 'arm':
      return on('arm', downFrom(variant, 5));
    case 'arm64':
      return [...on('arm64', armVersions(variant)), ...on('arm', downFrom('v8', 5))];
    default:
      return on(architecture, [variant]);
  }
}

/** Returns a variant and those before it: v3, v2, v1. */
function downFrom(variant: string, least: number): readonly string[] {
  const [, number] = /^v([1-9])$/.exec(variant) ?? [];
  if (number === undefined) return [variant];
  return Array.from(
    { length: Math.max(1, Number(number) - least + 1) },
    (_, step) => `v${Number(number) - step}`,
  );
}

/** Armv9.x includes Armv8.(x+5) (Arm Architecture Reference Manual), and the last of Armv8 is 8.9. */
function armVersions(variant: string): readonly string[] {
  const [, major, minor = '0'] = /^v([89])(?:\.([0-9]))?$/.exec(variant || 'v8') ?? [];
  if (major === undefined) return [variant];
  const down = (name: string, from: number): readonly string[] =>
    Array.from({ length: from + 1 }, (_, step) => `v${name}.${from - step}`);
  if (major === '8') return down('8', Number(minor));
  return [...down('9', Number(minor)), ...down('8', Math.min(9, Number(minor) + 5))];
}

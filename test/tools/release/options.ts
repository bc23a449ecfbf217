import { parseArgs } from 'node:util';

/** `npm run release -- REGISTRY [options] [-- options of cosign]` */
export type ReleaseOptions = {
  /** As in `registry.example.com/csi`. */
  readonly registry: string;
  /** A reference with a digest. */
  readonly base: string;
  /** Keys of cosign, each of which signs. Without one, cosign signs by the identity of its caller. */
  readonly keys: readonly string[];
  readonly isPlainHttp: boolean;
  /** Whether only the tag that moves with the base is pushed. */
  readonly isRefresh: boolean;
  /** Whether the image for arm64 serves in an emulated machine before anything is pushed. */
  readonly isTriedOnArm64: boolean;
  readonly cosign: readonly string[];
};

const usage =
  'npm run release -- REGISTRY [--key FILE]... [--base IMAGE@DIGEST] [--refresh] [--plain-http] [--no-emulation] [-- OPTIONS OF COSIGN]';

/** Reads a command line. The base is that of the Dockerfile, unless it says another. @throws saying what to do. */
export function parseReleaseOptions(args: readonly string[], dockerfile: string): ReleaseOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      key: { type: 'string', multiple: true },
      base: { type: 'string' },
      refresh: { type: 'boolean' },
      'plain-http': { type: 'boolean' },
      'no-emulation': { type: 'boolean' },
    },
    allowPositionals: true,
  });
  const [registry, ...cosign] = positionals;
  if (registry === undefined || registry.includes('://')) throw new Error(`usage: ${usage}`);
  const base = values.base ?? /^ARG BASE_IMAGE=(\S+)$/m.exec(dockerfile)?.[1] ?? '';
  if (!/@sha256:[0-9a-f]{64}$/.test(base))
    throw new Error(
      `the base ${base} has no digest, so that nobody could build this release again: find the digest (oras resolve ${base}), verify it, and write IMAGE@DIGEST into ARG BASE_IMAGE of the Dockerfile or give it by --base`,
    );
  return {
    registry: registry.replace(/\/$/, ''),
    base,
    keys: values.key ?? [],
    isPlainHttp: values['plain-http'] ?? false,
    isRefresh: values.refresh ?? false,
    isTriedOnArm64: !values['no-emulation'],
    cosign,
  };
}

import { type ArtifactSource, blobs, image, lines } from './artifacts.ts';
import type { Front } from './source.ts';

/** What is measured; `bar`: the permitted ratios to the fastest contender. */
export type Step = {
  readonly name: string;
  readonly title: string;
  readonly bar?: { readonly wall?: number; readonly cpu?: number };
};

/** Everything that a pull made, read once. `isCold`: with nothing in the caches of the kernel. */
export type Reading = Step & { readonly isCold?: boolean };

/** A pull of a tag. */
export type Pull = Step & { readonly make: () => ArtifactSource | Promise<ArtifactSource> };

/** One cold pull of an artifact, or several of its tags one after the other. */
export type Row = {
  /** What a client has to do: keep the blobs, or unpack one tar layer, or all those of an image. */
  readonly kind: 'files' | 'gzip' | 'zstd' | 'image';
  /** Rows of one repository have the same artifact. */
  readonly repository: string;
  readonly front: Front;
  /** With which the floor measured best. `range`: bytes of a request. */
  readonly floor: { readonly connections: number; readonly range?: number };
  readonly pulls: readonly Pull[];
  /** Afterwards everything is read as often, where there are files. */
  readonly reads: readonly Reading[];
};

const MB = 1e6;

/** `small`: the same with little of everything, to see that it works, and without rows that show nothing more then. */
export function rows(small: boolean): readonly Row[] {
  const all = allRows(small);
  const plain = (row: Row): boolean => row.repository === 'one' && Object.keys(row.front).length === 0;
  return small ? all.filter(row => !plain(row) && row.front.all === undefined) : all;
}

function allRows(small: boolean): readonly Row[] {
  const [one, eight, link] = small ? [4, 1, 2] : [1024, 128, 64];
  const [lineCount, treeCount, layerCount, layerFiles] = small ? [40, 400, 4, 20] : [1000, 50_000, 40, 250];
  const oneBlob = () => blobs('one', 1, one);
  const tree = (compression: 'gzip' | 'zstd') => () => image(['tree'], treeCount, compression);
  const base = Array.from({ length: layerCount - 1 }, (_, index) => `base-${index}`);
  const layers = (top: string) => () => image([...base, top], layerFiles, 'gzip');
  const files = { kind: 'files', front: {}, floor: { connections: 1 }, reads: [] } as const;
  return [
    {
      ...files,
      repository: 'one',
      pulls: [{ name: '1x1GiB', title: '1 GiB in one blob', make: oneBlob, bar: { wall: 0.67, cpu: 0.85 } }],
      reads: [{ name: '1x1GiB-read', title: 'Reading that blob, right after the pull', bar: { wall: 1.1 } }],
    },
    {
      ...files,
      repository: 'eight',
      floor: { connections: 2 },
      pulls: [
        {
          name: '8x128MiB',
          title: '1 GiB in 8 blobs',
          make: () => blobs('eight', 8, eight),
          bar: { wall: 0.9, cpu: 0.85 },
        },
      ],
    },
    {
      ...files,
      repository: 'small',
      floor: { connections: 16 },
      pulls: [
        {
          name: '1000-small',
          title: '1,000 blobs of one line',
          make: () => lines(lineCount),
          bar: { wall: 0.6, cpu: 0.6 },
        },
      ],
    },
    {
      ...files,
      repository: 'one',
      front: { tls: true },
      pulls: [{ name: '1x1GiB-tls', title: '1 GiB over TLS', make: oneBlob, bar: { wall: 0.7 } }],
    },
    {
      ...files,
      repository: 'one',
      front: { each: 200 * MB },
      floor: { connections: 4, range: 8 * 1024 * 1024 },
      pulls: [{ name: '1x1GiB-limited', title: '1 GiB, each connection limited to 200 MB/s', make: oneBlob }],
    },
    {
      ...files,
      repository: 'link',
      front: { all: 125 * MB },
      floor: { connections: 4 },
      pulls: [
        {
          name: '4x64MiB-link',
          title: '256 MiB over a link of 1 Gbit/s',
          make: () => blobs('link', 4, link),
        },
      ],
    },
    {
      ...files,
      kind: 'gzip',
      repository: 'tree-gzip',
      pulls: [
        {
          name: '50000-files',
          title: '50,000 files in one tar+gzip layer',
          make: tree('gzip'),
          bar: { wall: 0.6, cpu: 0.5 },
        },
      ],
      reads: [
        {
          name: '50000-files-read',
          title: 'Reading the 50,000 files, with empty caches',
          isCold: true,
          bar: { cpu: 0.6 },
        },
        { name: '50000-files-again', title: 'Reading the 50,000 files again', bar: { cpu: 0.6 } },
      ],
    },
    {
      ...files,
      kind: 'zstd',
      repository: 'tree-zstd',
      pulls: [{ name: '50000-files-zstd', title: '50,000 files in one tar+zstd layer', make: tree('zstd') }],
    },
    {
      ...files,
      kind: 'image',
      repository: 'image',
      floor: { connections: 4 },
      pulls: [
        { name: 'image', title: 'An image of 40 layers', make: layers('top') },
        {
          name: 'image-delta',
          title: 'Its next version, one layer changed',
          make: layers('next'),
          bar: { wall: 0.67 },
        },
      ],
    },
  ];
}

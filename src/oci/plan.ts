import { hash } from 'node:crypto';
import { ArtifactError } from '../util/error.ts';
import { compileGlob } from '../util/glob.ts';
import { quoteName } from '../util/name.ts';
import type { Descriptor } from './descriptor.ts';
import { type Digest, shortDigest, toDigest } from './digest.ts';
import { isImage, planImage, verifyDiffId } from './image.ts';
import { type Manifest, titleOf } from './manifest.ts';
import { parseFilePath, parseTreePath, verifyPathLength } from './tree-path.ts';

/** The treatment of one layer. `label` names it in errors; `name` is the one in the manifest, '' in an image. */
export type LayerPlan = { readonly descriptor: Descriptor; readonly label: string; readonly name: string } & (
  | { readonly form: 'file' }
  | Unpacked
  /** Its bytes decide: unpacked to `into` if they are a tar, a file if not. */
  | { readonly form: 'detected'; readonly into?: Destination }
);

/** `diffId` is the digest that the uncompressed bytes must have. */
type Unpacked = { readonly form: 'unpacked'; readonly diffId?: Digest; readonly into?: Destination };

/**
 * The path of the tree where the root of a tar is placed, which is the tree's root by default. With `packed` the names
 * in the tar may already begin with the path.
 */
export type Destination = { readonly path: readonly string[]; readonly packed: boolean };

/**
 * How a manifest becomes a tree. `kind` decides the rules of the merge: changesets for an image, parts for an artifact.
 */
export type Plan = { readonly kind: 'artifact' | 'image'; readonly layers: readonly LayerPlan[] };

/** The part of a volume's request that selects layers and their treatment. */
export type LayerSelection = {
  readonly unpack: 'auto' | 'never' | 'always';
  readonly include: readonly string[];
  readonly exclude: readonly string[];
};

/**
 * Decides from a manifest how every layer is treated, before anything of it is downloaded. `diffIds` are those of the
 * image config, if the manifest has one. A manifest that cannot be an image is an artifact. It yields after each layer.
 *
 * @throws ArtifactError `unmountable` for an image with a layer that cannot be unpacked, for include and exclude on a
 *   container image, if they leave nothing, and for a size that cannot be right.
 */
export function* planLayers(
  manifest: Manifest,
  diffIds: readonly string[] | undefined,
  selection: LayerSelection,
  label: string,
): Generator<void, Plan> {
  const filtered = selection.include.length > 0 || selection.exclude.length > 0;
  if (diffIds !== undefined && isImage(manifest, diffIds)) {
    if (filtered) {
      throw new ArtifactError(
        'unmountable',
        `${label} is a container image: its layers have no names, so include and exclude cannot choose among them; use subPath`,
      );
    }
    const layers = yield* planImage(manifest.layers, diffIds, label);
    yield* verifySizes(layers);
    return { kind: 'image', layers };
  }
  const isSelected = toSelector(selection, label);
  const layers: LayerPlan[] = [];
  for (const [index, descriptor] of manifest.layers.entries()) {
    const layer = planArtifactLayer(descriptor, index, selection.unpack, label);
    if (placeholderOf(descriptor) === undefined && (yield* isSelected(layer.name))) layers.push(layer);
    yield;
  }
  if (filtered && layers.length === 0) {
    const names = manifest.layers.slice(0, 8).map(layer => quoteName(layerName(layer)));
    throw new ArtifactError(
      'unmountable',
      `include and exclude leave no layer of ${label}; it has ${names.join(', ') || 'none'}`,
    );
  }
  yield* verifySizes(layers);
  return { kind: 'artifact', layers };
}

/** The type of the empty descriptor (OCI image spec, manifest.md). */
const emptyType = 'application/vnd.oci.empty.v1+json';

/** The type of the list of the chunks of another layer (oci/chunk-list.ts). */
export const chunkListType = 'application/vnd.oci-artifact-csi.chunks.v1';

/** Tools end the type of a tar in `.tar`, `.tar+gzip`, `.tar.gzip`, `+tar.gz` and more. */
const tar = /[/.+-](?:tar(?:[.+](?:gzip|gz|zstd|zst))?|tgz)$/;

/** Whether the suffix of a media type means tar, compressed or not. */
function isTar(mediaType: string): boolean {
  return tar.test(mediaType);
}

const modelFormats = ['cncf.model', 'cnai.model', 'kitops.modelkit', 'docker.ai'];

/** A layer of the model specification (CNCF ModelPack, and its earlier name), of KitOps or of Docker Model Runner. */
function isModelLayer(mediaType: string): boolean {
  return modelFormats.some(format => mediaType.startsWith(`application/vnd.${format}.`));
}

const digestsOf = (content: string): readonly Digest[] =>
  (['sha256', 'sha512'] as const).map(algorithm => toDigest(algorithm, hash(algorithm, content)));
const digestsOfNothing = digestsOf('');
const digestsOfEmptyJson = digestsOf('{}');

/**
 * What a layer of an artifact is that is no part of the tree; undefined for one that is. `empty`: the empty descriptor,
 * which stands for no content (OCI image spec, manifest.md), unless it has a name. `chunks`: a chunk list, which is about
 * another layer: `oras` names it, because it can push nothing without a name.
 */
export function placeholderOf(layer: Descriptor): 'chunks' | 'empty' | undefined {
  if (layer.mediaType === chunkListType) return 'chunks';
  const isEmpty = layer.mediaType === emptyType && digestsOfEmptyJson.includes(layer.digest);
  return isEmpty && givenName(layer) === undefined ? 'empty' : undefined;
}

/** Content must have its declared size, wherever it is declared. */
function* verifySizes(layers: readonly LayerPlan[]): Generator<void, void> {
  const sizes = new Map<Digest, number>();
  for (const { descriptor, label } of layers) {
    yield;
    const { digest, size } = descriptor;
    const other = sizes.get(digest) ?? size;
    if (other === size && (size === 0) === digestsOfNothing.includes(digest)) {
      sizes.set(digest, size);
      continue;
    }
    const why = other === size ? 'which cannot be' : `and elsewhere ${other}`;
    throw new ArtifactError(
      'unmountable',
      `${label} is ${digest}, of which its manifest says that it has ${size} bytes, ${why}; push it again`,
    );
  }
}

/** The name of a layer in the manifest, or `sha256-<hex>`. */
function layerName(layer: Descriptor): string {
  return givenName(layer) ?? layer.digest.replace(':', '-');
}

function planArtifactLayer(
  descriptor: Descriptor,
  index: number,
  unpack: LayerSelection['unpack'],
  label: string,
): LayerPlan {
  const given = givenName(descriptor);
  const layer = {
    descriptor,
    name: layerName(descriptor),
    label: `layer ${index + 1} (${given === undefined ? shortDigest(descriptor.digest) : quoteName(given)}) of ${label}`,
  };
  verifyPathLength(layer.name, layer.label);
  if (unpack === 'never') return { ...layer, form: 'file' };
  if (isPackedDirectory(descriptor)) return { ...layer, ...toPackedDirectory(descriptor, layer.label) };
  if (isTarOfItsFormat(descriptor))
    return { ...layer, form: 'unpacked', ...promiseOf(descriptor, layer.label) };
  if (unpack === 'auto') return { ...layer, form: 'file' };
  // Where `tar xf` beside the file would unpack it.
  const path = given === undefined ? [] : parseFilePath(given, layer.label).slice(0, -1);
  return { ...layer, form: 'detected', into: { path, packed: false } };
}

function isPackedDirectory({ annotations }: Descriptor): boolean {
  return annotations['io.deis.oras.content.unpack'] === 'true';
}

/** A directory that ORAS packed is placed under its title. */
function toPackedDirectory(descriptor: Descriptor, label: string): Unpacked {
  const title = titleOf(descriptor);
  return {
    form: 'unpacked',
    ...(title === undefined ? {} : { into: { path: parseTreePath(title, label), packed: true } }),
    ...promiseOf(descriptor, label),
  };
}

/** ORAS records the digest of a tar's uncompressed bytes. */
function promiseOf({ annotations }: Descriptor, label: string): Pick<Unpacked, 'diffId'> {
  const content = annotations['io.deis.oras.content.digest'];
  return content === undefined ? {} : { diffId: verifyDiffId(content, label) };
}

/**
 * ORAS sets a title for each file, and declares many of them as tar, so the media type decides only without a title, or
 * for a model format. The path of a model format is where it was packed: KitOps, modctl and Docker Model Runner unpack
 * at the root, because the names in their tars already have that path.
 */
function isTarOfItsFormat(layer: Descriptor): boolean {
  return isTar(layer.mediaType) && (isModelLayer(layer.mediaType) || titleOf(layer) === undefined);
}

const pathKeys = ['org.cncf.model.filepath', 'org.cnai.model.filepath'];

function givenName(layer: Descriptor): string | undefined {
  return (
    titleOf(layer) ??
    pathKeys.map(key => layer.annotations[key]).find(name => name !== undefined && name !== '')
  );
}

/** About a second of work: a user who writes both globs and names could otherwise cause days of it. */
const maxGlobSteps = 5_000_000;

/**
 * Selects layers by their names. It yields after each small step.
 * @throws ArtifactError `unmountable`, from the matcher, if names and globs exceed the budget.
 */
function toSelector(
  globs: { readonly include: readonly string[]; readonly exclude: readonly string[] },
  label: string,
): (name: string) => Generator<void, boolean> {
  const [include = [], exclude = []] = [globs.include, globs.exclude].map(each => each.map(compileGlob));
  const budget = { steps: maxGlobSteps };
  function* matches(compiled: typeof include, subject: string): Generator<void, boolean> {
    budget.steps -= compiled.length;
    for (const matchesName of compiled) if (yield* matchesName(subject, budget)) return true;
    return false;
  }
  return function* isSelected(name) {
    if (include.length === 0 && exclude.length === 0) return true;
    const subject = name
      .split('/')
      .filter(part => part !== '' && part !== '.')
      .join('/');
    const isExcluded = yield* matches(exclude, subject);
    const selected = !isExcluded && (include.length === 0 || (yield* matches(include, subject)));
    if (budget.steps >= 0) return selected;
    throw new ArtifactError(
      'unmountable',
      `include and exclude take too long to match against the names of the layers of ${label}; write fewer globs, with fewer stars`,
    );
  };
}

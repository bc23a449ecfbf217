import { hash } from 'node:crypto';
import { ArtifactError } from '../util/error.ts';
import type { Descriptor } from './descriptor.ts';
import { toDigest, type Digest } from './digest.ts';
import { isImage, planImage } from './image.ts';
import { shortDigest, verifyDiffId } from './layer-label.ts';
import { type Manifest, titleOf } from './manifest.ts';
import { emptyType, isModelLayer, isTar } from './media-type.ts';
import { quoteName } from '../util/name.ts';
import { toSelector } from './selector.ts';
import { parseFilePath, parseTreePath, verifyPathLength } from './tree-path.ts';

/** What becomes of one layer. `label` names it in errors; `name` is what its maker called it, '' in an image. */
export type LayerPlan = { readonly descriptor: Descriptor; readonly label: string; readonly name: string } & (
  | { readonly form: 'file' }
  | Unpacked
  /** For its bytes to decide: `into` if they are a tar, a file if not. */
  | { readonly form: 'detected'; readonly into?: Destination }
);

/** `diffId` is what the uncompressed bytes must hash to. */
type Unpacked = { readonly form: 'unpacked'; readonly diffId?: Digest; readonly into?: Destination };

/**
 * A path of the tree for the root of a tar, which is that of the tree where there is none. With `packed` the names in the
 * tar may begin with the path already.
 */
export type Destination = { readonly path: readonly string[]; readonly packed: boolean };

/** How a manifest becomes a tree. `kind` decides the rules of the merge: change sets for an image, parts for an artifact. */
export type Plan = { readonly kind: 'artifact' | 'image'; readonly layers: readonly LayerPlan[] };

/** The part of a volume's request that decides which layers are needed, and how. */
export type LayerSelection = {
  readonly unpack: 'auto' | 'never' | 'always';
  readonly include: readonly string[];
  readonly exclude: readonly string[];
};

/**
 * Decides from a manifest what every layer becomes, before anything of it is downloaded. `diffIds` are those of the
 * image config, where the manifest has one. What cannot be an image is an artifact. Yields after each layer.
 *
 * @throws ArtifactError `unmountable` for an image with a layer that cannot be unpacked, for include and exclude on a
 * container image, where they leave nothing, and for a size that is wrong whatever the bytes are.
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
    if (!isPlaceholder(descriptor) && (yield* isSelected(layer.name))) layers.push(layer);
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

const digestsOf = (content: string): readonly Digest[] =>
  (['sha256', 'sha512'] as const).map(algorithm => toDigest(algorithm, hash(algorithm, content)));
const digestsOfNothing = digestsOf('');
const digestsOfEmptyJson = digestsOf('{}');

/** The empty descriptor, which stands where there is no content (OCI image spec, manifest.md). A named one is a file. */
function isPlaceholder(layer: Descriptor): boolean {
  return (
    layer.mediaType === emptyType &&
    digestsOfEmptyJson.includes(layer.digest) &&
    givenName(layer) === undefined
  );
}

/** Bytes are of the size that is said of them, wherever it is said, or are not mounted. */
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

/** The name that a layer's maker gave it, or `sha256-<hex>`. */
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

/** A directory that ORAS has packed comes out under its title. */
function toPackedDirectory(descriptor: Descriptor, label: string): Unpacked {
  const title = titleOf(descriptor);
  return {
    form: 'unpacked',
    ...(title === undefined ? {} : { into: { path: parseTreePath(title, label), packed: true } }),
    ...promiseOf(descriptor, label),
  };
}

/** ORAS says of a tar what its uncompressed bytes hash to. */
function promiseOf({ annotations }: Descriptor, label: string): Pick<Unpacked, 'diffId'> {
  const content = annotations['io.deis.oras.content.digest'];
  return content === undefined ? {} : { diffId: verifyDiffId(content, label) };
}

/**
 * ORAS gives a title to each file, and calls many of them tar, so the media type decides only where there is no title, or
 * where a model format made it. The path of a model format is where it has been packed from: KitOps, modctl and Docker
 * Model Runner unpack at the root, since the names in their tars have that path already.
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

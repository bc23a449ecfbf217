import { hash } from 'node:crypto';
import { ArtifactError } from '../util/error.ts';
import type { Descriptor } from './descriptor.ts';
import { algorithmOf, hexOf, isDigest, toDigest, type Digest } from './digest.ts';
import { compileGlob } from './glob.ts';
import type { Manifest } from './manifest.ts';
import { quoteName } from './name.ts';
import { isImageConfig, isImageLayer, isModelLayer, isTar } from './media-type.ts';

/** What becomes of one layer. `label` names it in errors; `diffId` is what its uncompressed bytes must hash to. */
export type LayerPlan = { readonly descriptor: Descriptor; readonly label: string; readonly name: string } & (
  | { readonly form: 'file' }
  | { readonly form: 'unpacked'; readonly diffId?: Digest }
);

/** How a manifest becomes a tree. `kind` decides the rules of the merge: change sets for an image, parts for an artifact. */
export type Plan = { readonly kind: 'artifact' | 'image'; readonly layers: readonly LayerPlan[] };

/** The part of a volume's request that decides which layers are needed, and how. */
export type LayerSelection = {
  readonly unpack: 'auto' | 'never';
  readonly include: readonly string[];
  readonly exclude: readonly string[];
};

/**
 * Decides from a manifest what every layer becomes, before anything of it is downloaded. `diffIds` are those of the
 * image config, where the manifest has one.
 *
 * @throws ArtifactError `unmountable` for a manifest that is neither image nor artifact, for include and exclude on a
 * container image, where they leave nothing, and for a size that is wrong whatever the bytes are.
 */
export function planLayers(
  manifest: Manifest,
  diffIds: readonly string[] | undefined,
  selection: LayerSelection,
  label: string,
): Plan {
  const filtered = selection.include.length > 0 || selection.exclude.length > 0;
  if (isImage(manifest, diffIds)) {
    if (filtered) {
      throw new ArtifactError(
        'unmountable',
        `${label} is a container image: its layers have no names, so include and exclude cannot choose among them; use subPath`,
      );
    }
    const layers = manifest.layers.map((layer, index) =>
      planImageLayer(layer, index, diffIds?.[index], label),
    );
    verifySizes(layers);
    return { kind: 'image', layers };
  }
  if (!isArtifact(manifest)) {
    throw new ArtifactError(
      'unmountable',
      `${label} is neither a container image nor an artifact: its config is ${manifest.config.mediaType || 'of no media type'}, but its layers are not those of an image, and it has no artifactType; push it with an artifactType`,
    );
  }
  const isSelected = toSelector(selection, label);
  const layers = manifest.layers
    .map((layer, index) => planArtifactLayer(layer, index, selection.unpack, label))
    .filter(layer => isSelected(layer.name));
  if (filtered && layers.length === 0) {
    const names = manifest.layers.slice(0, 8).map(layer => quoteName(layerName(layer)));
    throw new ArtifactError(
      'unmountable',
      `include and exclude leave no layer of ${label}; it has ${names.join(', ') || 'none'}`,
    );
  }
  verifySizes(layers);
  return { kind: 'artifact', layers };
}

const digestsOfNothing: readonly Digest[] = (['sha256', 'sha512'] as const).map(algorithm =>
  toDigest(algorithm, hash(algorithm, '')),
);

/** Bytes are of the size that is said of them, wherever it is said, or are not mounted. */
function verifySizes(layers: readonly LayerPlan[]): void {
  const sizes = new Map<Digest, number>();
  for (const { descriptor, label } of layers) {
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

function isImage(manifest: Manifest, diffIds: readonly string[] | undefined): boolean {
  return (
    isImageConfig(manifest.config.mediaType) &&
    diffIds !== undefined &&
    diffIds.length === manifest.layers.length &&
    manifest.layers.every(layer => isImageLayer(layer.mediaType))
  );
}

function isArtifact(manifest: Manifest): boolean {
  const config = manifest.config.mediaType;
  return manifest.artifactType !== undefined || (config !== '' && !isImageConfig(config));
}

function planImageLayer(
  descriptor: Descriptor,
  index: number,
  diffId: string | undefined,
  label: string,
): LayerPlan {
  const name = `layer ${index + 1} (${shortDigest(descriptor.digest)}) of ${label}`;
  if (diffId === undefined || !isDigest(diffId)) {
    throw new ArtifactError(
      'unmountable',
      `the config of ${label} has ${JSON.stringify(diffId)?.slice(0, 120)} as diff_id of ${name}, which is no digest`,
    );
  }
  verifyAlgorithm(diffId, name);
  return { descriptor, label: name, name: '', form: 'unpacked', diffId };
}

function planArtifactLayer(
  descriptor: Descriptor,
  index: number,
  unpack: 'auto' | 'never',
  label: string,
): LayerPlan {
  const name = layerName(descriptor);
  const given = givenName(descriptor);
  const layer = {
    descriptor,
    name,
    label: `layer ${index + 1} (${given === undefined ? shortDigest(descriptor.digest) : quoteName(given)}) of ${label}`,
  };
  if (unpack === 'never' || !isMeantToBeUnpacked(descriptor)) return { ...layer, form: 'file' };
  const content = descriptor.annotations['io.deis.oras.content.digest'];
  if (content === undefined) return { ...layer, form: 'unpacked' };
  if (!isDigest(content)) {
    throw new ArtifactError(
      'unmountable',
      `${layer.label} has an io.deis.oras.content.digest that is no digest`,
    );
  }
  verifyAlgorithm(content, layer.label);
  return { ...layer, form: 'unpacked', diffId: content };
}

/** Of a layer that was unpacked its sha256 alone is known. */
function verifyAlgorithm(diffId: Digest, label: string): void {
  if (algorithmOf(diffId) === 'sha256') return;
  throw new ArtifactError(
    'unmountable',
    `${label} has the ${algorithmOf(diffId)} of its uncompressed bytes, and only their sha256 is checked; push it again with that`,
  );
}

/** ORAS calls plain files tar, so the media type alone decides only for a layer without a name. */
function isMeantToBeUnpacked(layer: Descriptor): boolean {
  if (layer.annotations['io.deis.oras.content.unpack'] === 'true') return true;
  if (isModelLayer(layer.mediaType)) return isTar(layer.mediaType);
  return givenName(layer) === undefined && isTar(layer.mediaType);
}

const nameKeys = ['org.opencontainers.image.title', 'org.cncf.model.filepath', 'org.cnai.model.filepath'];

function givenName(layer: Descriptor): string | undefined {
  return nameKeys.map(key => layer.annotations[key]).find(name => name !== undefined && name !== '');
}

/** About a second of work: whoever writes both globs and names could ask for days of it. */
const maxGlobSteps = 5_000_000;

/** @throws ArtifactError `unmountable`, the selector, where names and globs are too much to match. */
function toSelector(selection: LayerSelection, label: string): (name: string) => boolean {
  const [include, exclude] = [selection.include, selection.exclude].map(globs => globs.map(compileGlob));
  const budget = { steps: maxGlobSteps };
  return name => {
    const subject = name
      .split('/')
      .filter(part => part !== '' && part !== '.')
      .join('/');
    const matches = (globs: typeof include): boolean => {
      const matched = globs?.some(matchesName => matchesName(subject, budget)) === true;
      budget.steps -= globs?.length ?? 0;
      return matched;
    };
    const selected = !matches(exclude) && (selection.include.length === 0 || matches(include));
    if (budget.steps >= 0) return selected;
    throw new ArtifactError(
      'unmountable',
      `include and exclude take too long to match against the names of the layers of ${label}; write fewer globs, with fewer stars`,
    );
  };
}

function shortDigest(digest: Digest): string {
  return `${digest.slice(0, 7)}${hexOf(digest).slice(0, 12)}`;
}

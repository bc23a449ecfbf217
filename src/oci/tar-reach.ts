import type { LayerPlan } from './plan.ts';

/**
 * Whether the tars of an artifact can decide what is at a path of its tree. If they cannot, the names in the manifest
 * decide it, before anything is downloaded. A tar has only what is below its destination, but a symlink in it can lead a
 * path of another layer elsewhere.
 */
export function canTarsReach(layers: readonly LayerPlan[], path: readonly string[]): boolean {
  const roots = new Set(layers.flatMap(layer => (layer.form === 'file' ? [] : [rootOf(layer)])));
  const wanted = path.join('/');
  if (roots.has(wanted) || [...roots].some(root => root.startsWith(`${wanted}/`))) return true;
  return [...layers.map(placeOf), path].some(place => parentsOf(place).some(parent => roots.has(parent)));
}

type Tar = Exclude<LayerPlan, { form: 'file' }>;

function rootOf({ into }: Tar): string {
  return into?.path.join('/') ?? '';
}

function placeOf(layer: LayerPlan): readonly string[] {
  if (layer.form !== 'file') return layer.into?.path ?? [];
  return layer.name.split('/').filter(part => part !== '' && part !== '.');
}

/** The paths above a path, from the root. */
function parentsOf(path: readonly string[]): readonly string[] {
  return path.map((_, length) => path.slice(0, length).join('/'));
}

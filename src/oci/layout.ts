import { ArtifactError } from '../util/error.ts';
import { parseJson } from '../util/json.ts';
import { quoteName } from '../util/name.ts';
import type { Descriptor } from './descriptor.ts';
import type { Index } from './manifest.ts';
import { formatReference, parseReference, type Reference } from './reference.ts';

/** The file that marks a directory as an image layout, with the version. */
export const layoutFile = 'oci-layout';
const layoutVersion = '1.0.0';
/** The maximum bytes: it has one field. */
const maxLayoutFileBytes = 4096;

/** @throws ArtifactError `invalid` for an unsupported version of a layout. */
export function verifyLayoutFile(bytes: Uint8Array): void {
  const version = versionOf(bytes);
  if (version === layoutVersion) return;
  const why =
    typeof version === 'string'
      ? `the layout has the version ${quoteName(version)}`
      : `the file ${layoutFile} of the layout has no imageLayoutVersion`;
  throw new ArtifactError('invalid', `${why}; only ${layoutVersion} is read, as current tools write it`);
}

function versionOf(bytes: Uint8Array): unknown {
  try {
    const document = parseJson(bytes, { maxBytes: maxLayoutFileBytes });
    return typeof document === 'object' && document !== null && 'imageLayoutVersion' in document
      ? document.imageLayoutVersion
      : undefined;
  } catch {
    return undefined;
  }
}

/** A named entry of an image layout. It is the index.json itself if that lists one artifact's platforms. */
export type LayoutEntry = { readonly reference: Reference; readonly descriptor: Descriptor | 'index.json' };

/**
 * Selects from the index.json of an image layout (OCI image spec, image-layout.md). With `wanted`, it is the one
 * artifact of the layout; of several, the one whose annotation is this reference or its tag; of several without any
 * name, the index itself. Without `wanted`, every entry must have a full reference.
 *
 * @throws ArtifactError `invalid` that lists the entries of the layout.
 */
export function nameEntries(index: Index, wanted: Reference | undefined): readonly LayoutEntry[] {
  if (index.manifests.length === 0)
    throw new ArtifactError('invalid', 'the index.json of the layout lists nothing');
  return wanted === undefined ? nameAll(index.manifests) : [choose(index.manifests, wanted)];
}

function choose(entries: readonly Descriptor[], reference: Reference): LayoutEntry {
  const { digest } = reference;
  const distinct = [...new Map(entries.map(entry => [entry.digest, entry])).values()];
  const [only] = distinct;
  if (only !== undefined && distinct.length === 1) {
    if (digest === undefined || digest === only.digest) return { reference, descriptor: only };
  } else if (digest === undefined && entries.every(entry => namesOf(entry).length === 0)) {
    return { reference, descriptor: 'index.json' };
  }
  const fitting = new Map(
    entries.filter(entry => fits(entry, reference)).map(entry => [entry.digest, entry]),
  );
  const [found, ...others] = fitting.values();
  if (found !== undefined && others.length === 0) return { reference, descriptor: found };
  const wanted = formatReference(reference);
  throw new ArtifactError(
    'invalid',
    found === undefined
      ? `nothing in the layout is ${wanted}: it has ${listEntries(entries)}; give the reference of one of these`
      : `several artifacts of the layout are ${wanted}: ${listEntries([...fitting.values()])}; write a layout with one of them`,
  );
}

function nameAll(entries: readonly Descriptor[]): readonly LayoutEntry[] {
  const named = new Map<string, LayoutEntry>();
  for (const descriptor of entries) {
    const names = namesOf(descriptor);
    const reference = names.map(toFull).find(full => full !== undefined);
    if (reference === undefined) {
      throw new ArtifactError(
        'invalid',
        `the layout calls ${descriptor.digest} ${names.map(quoteName).join(' and ') || 'nothing'}, which is no full reference; give one beside the layout: registry/repository:tag`,
      );
    }
    const text = formatReference(reference);
    const other = named.get(text)?.descriptor;
    if (other !== undefined && other !== 'index.json' && other.digest !== descriptor.digest) {
      throw new ArtifactError(
        'invalid',
        `several artifacts of the layout are ${text}: ${listEntries([other, descriptor])}; write a layout with one of them`,
      );
    }
    named.set(text, { reference, descriptor });
  }
  return [...named.values()];
}

/** By digest, by the full reference, or by the tag alone, as `oras copy` and `skopeo copy` write it. */
function fits(entry: Descriptor, wanted: Reference): boolean {
  if (wanted.digest !== undefined) return entry.digest === wanted.digest;
  return namesOf(entry).some(name => {
    const full = toFull(name);
    return full === undefined ? name === wanted.tag : formatReference(full) === formatReference(wanted);
  });
}

const nameKeys = ['io.containerd.image.name', 'org.opencontainers.image.ref.name'];

function namesOf({ annotations }: Descriptor): readonly string[] {
  return nameKeys.flatMap(key => annotations[key] ?? []);
}

function toFull(text: string): Reference | undefined {
  try {
    const parsed = parseReference(text);
    return parsed.kind === 'full' ? parsed.reference : undefined;
  } catch {
    return undefined;
  }
}

const listed = 8;

function listEntries(entries: readonly Descriptor[]): string {
  const some = entries.slice(0, listed).map(entry => {
    const names = namesOf(entry).map(quoteName).join(' or ');
    return names === '' ? entry.digest : `${names} (${entry.digest})`;
  });
  const more = entries.length - some.length;
  return more > 0 ? `${some.join(', ')} and ${more} more` : some.join(', ');
}

/** The name that a user gives to the artifact of a layout. @throws ArtifactError `invalid` if it is not a full reference. */
export function parseLayoutName(text: string): Reference {
  const parsed = parseReference(text);
  if (parsed.kind === 'full') return parsed.reference;
  throw new ArtifactError(
    'invalid',
    `"${text}" is a short name, and a layout needs a full reference; write registry/repository:tag`,
  );
}

import type { Digest } from '../../oci/digest.ts';
import type { Plan } from '../../oci/plan.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Content } from '../../ports/registry.ts';
import type { Blobs, Layers } from '../../ports/store.ts';
import type { PullRequest } from '../../ports/request.ts';

/** What the cache lacks, or has for others alone, while `pullPolicy: Never` lets nobody be asked for it. */
export function toNotCached(what: string): ArtifactError {
  return new ArtifactError(
    'not-found',
    `${what} is not in this node's cache for this pod, and pullPolicy Never forbids to pull it; load it there first, or set IfNotPresent, with a credential that may read it`,
  );
}

/** What is missing of an artifact that nobody may be asked for. `what` names it to people, with the reference. */
export type Missing = (what: string, digest: Digest) => ArtifactError;

/** In the words of who asked. A pod hears the same of what is here for others. */
function openMissing({ reference, caller, brought }: Asked): Missing {
  if (caller === 'pod') return () => toNotCached(reference);
  const [place, advice] =
    brought === undefined
      ? ['cache', 'pull it with another pull policy, or load it from a layout']
      : ['layout', 'write the layout again, with all of its blobs'];
  const why =
    brought === undefined ? '' : ', and nothing that was pulled or loaded for that repository has it';
  return (what, digest) =>
    new ArtifactError('not-found', `the ${place} lacks ${digest}, ${what}${why}; ${advice}`);
}

type Asked = Pick<PullRequest, 'reference' | 'caller' | 'brought'>;

/** What an administrator asks for with nobody asked: `isGiven` says of content that is here whether it may be used. */
export type Possession = { readonly missing: Missing; readonly isGiven: (digest: Digest) => boolean };

/** What comes from a layout is brought by it, or known to be in its repository; no registry is asked. */
export function openPossession(request: Asked, isKnown: (digest: Digest) => boolean): Possession {
  const { brought } = request;
  return {
    missing: openMissing(request),
    isGiven: digest => brought === undefined || brought.has(digest) || isKnown(digest),
  };
}

/** @throws ArtifactError `not-found` naming a layer that is not here, or here for others. */
export async function verifyLayers(
  { blobs, layers }: { readonly blobs: Pick<Blobs, 'size'>; readonly layers: Pick<Layers, 'has'> },
  plan: Plan,
  { missing, isGiven }: Possession,
): Promise<void> {
  for (const { descriptor, form, label } of plan.layers) {
    const { digest, data } = descriptor;
    if (data !== undefined) continue;
    const isBlob = (await blobs.size(digest)) !== undefined;
    const isHeld = isBlob || (form !== 'file' && (await layers.has(digest)));
    if (!isHeld || !isGiven(digest)) throw missing(label, digest);
  }
}

/** @throws ArtifactError `not-found` naming content that is here for others. */
export function verifyGiven(
  contents: readonly Content[],
  reference: string,
  { missing, isGiven }: Possession,
): void {
  for (const { kind, descriptor } of contents) {
    if (descriptor.data === undefined && !isGiven(descriptor.digest))
      throw missing(nameDocument(kind, reference), descriptor.digest);
  }
}

/** What people call a manifest, an index or a config. */
export function nameDocument(kind: Content['kind'], reference: string): string {
  return `the ${kind === 'manifest' ? 'manifest' : 'config'} of ${reference}`;
}

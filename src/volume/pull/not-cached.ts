import type { Digest } from '../../oci/digest.ts';
import type { Plan } from '../../oci/plan.ts';
import type { Content } from '../../ports/registry.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Blobs, Layers } from '../../ports/store.ts';
import { ArtifactError } from '../../util/error.ts';
import { startPace } from '../../util/pace.ts';

/**
 * The error for content that is not cached, or cached for others only, while `pullPolicy: Never` forbids to ask the
 * registry.
 */
export function toNotCached(what: string): ArtifactError {
  return new ArtifactError(
    'not-found',
    `${what} is not in this node's cache for this pod, and pullPolicy Never forbids to pull it; load it there first, or set IfNotPresent, with a credential that may read it`,
  );
}

/** Makes the error for missing content that no registry may be asked for. `what` describes it, with the reference. */
export type Missing = (what: string, digest: Digest) => ArtifactError;

/** A pod gets the same error for content that is cached for others only. */
function openMissing({ reference, caller, brought }: Asked): Missing {
  if (caller === 'pod') return () => toNotCached(reference);
  const [source, advice] =
    brought === undefined
      ? ['cache', 'pull it with another pull policy, or load it from a layout']
      : ['layout', 'write the layout again, with all of its blobs'];
  const why =
    brought === undefined ? '' : ', and nothing that was pulled or loaded for that repository has it';
  return (what, digest) =>
    new ArtifactError('not-found', `the ${source} lacks ${digest}, ${what}${why}; ${advice}`);
}

type Asked = Pick<PullRequest, 'reference' | 'caller' | 'brought'>;

/** How an offline request of an administrator uses the cache. `isGiven`: whether cached content may be used. */
export type Possession = { readonly missing: Missing; readonly isGiven: (digest: Digest) => boolean };

/** Content of a layout must come with it, or be known to be in its repository; no registry is asked. */
export function openPossession(request: Asked, isKnown: (digest: Digest) => boolean): Possession {
  const { brought } = request;
  return {
    missing: openMissing(request),
    isGiven: digest => brought === undefined || brought.has(digest) || isKnown(digest),
  };
}

/** @throws ArtifactError `not-found` naming a layer that is not cached, or cached for others only. */
export async function verifyLayers(
  { blobs, layers }: { readonly blobs: Pick<Blobs, 'size'>; readonly layers: Pick<Layers, 'has'> },
  plan: Plan,
  { missing, isGiven }: Possession,
  signal: AbortSignal,
): Promise<void> {
  const pace = startPace(signal);
  for (const { descriptor, form, label } of plan.layers) {
    const { digest, data } = descriptor;
    if (data !== undefined) continue;
    const isBlob = (await blobs.size(digest)) !== undefined;
    const isHeld = isBlob || (form !== 'file' && (await layers.has(digest)));
    if (!isHeld || !isGiven(digest)) throw missing(label, digest);
    const rest = pace();
    if (rest !== undefined) await rest;
  }
}

/** @throws ArtifactError `not-found` naming content that is cached for others only. */
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

/** How messages name a manifest, an index or a config. */
export function nameDocument(kind: Content['kind'], reference: string): string {
  return `the ${kind === 'manifest' ? 'manifest' : 'config'} of ${reference}`;
}

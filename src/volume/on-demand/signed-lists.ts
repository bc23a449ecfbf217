import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { parseManifest } from '../../oci/manifest.ts';
import { chunkListType } from '../../oci/plan.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { doInSlices } from '../../util/pace.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';

/** Anybody with push access can add some, and each costs requests. */
const mostReferrers = 16;

/**
 * Finds chunk lists that refer to a manifest instead of being covered by it. They count if the policy demands a signature
 * of the artifact, and what refers to it has one that meets it. `note` logs why others do not.
 *
 * @throws ArtifactError `unavailable` if the registry cannot list them; the signal's reason.
 */
export async function findSignedLists(
  manifest: Digest,
  content: Pick<AdmittedContent, 'referrers' | 'verifySigned' | 'fetchDocument'>,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const referrers = await content.referrers(manifest, chunkListType, signal);
  if (referrers === undefined)
    throw new ArtifactError('unavailable', 'its registry does not list what refers to a manifest');
  const lists: Descriptor[] = [];
  const own = referrers.filter(({ artifactType }) => artifactType === chunkListType);
  for (const descriptor of own.slice(0, mostReferrers)) {
    try {
      await content.verifySigned(descriptor.digest, signal);
      const label = `the manifest ${descriptor.digest}`;
      const { bytes } = await content.fetchDocument({ kind: 'manifest', descriptor }, signal);
      const parsed = await doInSlices(parseManifest(bytes, descriptor.mediaType, label), signal);
      const layers = parsed.kind === 'manifest' ? parsed.layers : [];
      lists.push(...layers.filter(({ mediaType }) => mediaType === chunkListType));
    } catch (thrown) {
      signal.throwIfAborted();
      note(
        `the chunk lists of ${descriptor.digest}, which refers to ${manifest}, do not count: ${toArtifactError(thrown).message}`,
      );
    }
  }
  return lists;
}

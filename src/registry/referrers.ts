import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { maxManifestBytes, parseManifest } from '../oci/manifest.ts';
import { ociIndex } from '../oci/media-type.ts';
import { ArtifactError } from '../util/error.ts';
import type { Exchange } from './exchange.ts';
import { collect } from './hop.ts';
import type { Asked } from './manifest.ts';

const answers: ReadonlySet<number> = new Set([200, 404]);

/**
 * What refers to a manifest, from the first page of the registry's list; undefined if it keeps none (OCI distribution
 * spec, "Listing Referrers").
 *
 * @throws as Exchange; `unmountable` for a list that is malformed or above 4 MiB.
 */
export async function listReferrers(
  exchange: Exchange,
  asked: Asked,
  digest: Digest,
  signal: AbortSignal,
): Promise<readonly Descriptor[] | undefined> {
  const body = collect(maxManifestBytes, () => {
    throw new ArtifactError('unmountable', `${asked.subject}: the list of its referrers is above 4 MiB`);
  });
  const { status } = await exchange(
    {
      ...asked,
      method: 'GET',
      path: `referrers/${digest}`,
      headers: { accept: ociIndex },
      wanted: answers,
    },
    () => body.receive, // an error without an end is no better than such a list
    signal,
  );
  if (status === 404) return undefined;
  const list = parseManifest(body.bytes(), ociIndex, `the referrers of ${asked.subject}`);
  return list.kind === 'index' ? list.manifests : [];
}

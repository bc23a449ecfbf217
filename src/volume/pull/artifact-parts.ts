import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { maxManifestBytes, parseManifest } from '../../oci/manifest.ts';
import type { Blobs } from '../../ports/store.ts';
import { doInSlices } from '../../util/pace.ts';

/**
 * What an artifact consists of for every platform: the documents that lead from its descriptor to its layers, and all
 * content that they list. It follows only content that `has` accepts. A document that does not parse has no parts.
 *
 * @throws the signal's reason.
 */
export async function findParts(
  root: Descriptor,
  has: (digest: Digest) => boolean,
  blobs: Pick<Blobs, 'size' | 'read'>,
  signal: AbortSignal,
): Promise<ReadonlySet<Digest>> {
  const parts = new Set<Digest>();
  const documents = [root];
  for (const { digest, mediaType } of documents) {
    if (parts.has(digest) || !has(digest)) continue;
    parts.add(digest);
    if (((await blobs.size(digest)) ?? 0) > maxManifestBytes) continue;
    const parsing = doInSlices(parseManifest(await blobs.read(digest), mediaType, digest), signal);
    const parsed = await parsing.catch(() => signal.throwIfAborted());
    if (parsed === undefined) continue;
    if (parsed.kind === 'index') documents.push(...parsed.manifests);
    else
      for (const content of [parsed.config, ...parsed.layers])
        if (has(content.digest)) parts.add(content.digest);
  }
  return parts;
}

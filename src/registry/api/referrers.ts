import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { maxManifestBytes, ociIndex, parseManifest } from '../../oci/manifest.ts';
import { ArtifactError } from '../../util/error.ts';
import { doInSlices } from '../../util/pace.ts';
import type { FinalResponse } from '../http/redirect.ts';
import { collect, describeEncoding } from '../http/request.ts';
import type { Exchange } from './exchange.ts';
import type { Asked } from './manifest.ts';

/** The statuses with which registries answer if they do not know the endpoint. */
const answers: ReadonlySet<number> = new Set([200, 400, 404, 405, 501]);

const maxPages = 100;
const maxBytes = 4 * maxManifestBytes;

/**
 * Returns the referrers of a manifest that have a given type, from all pages of the registry's list; undefined if the
 * registry keeps none (OCI distribution spec, "Listing Referrers"). Not every registry filters, so the list is filtered
 * again.
 *
 * @throws as Exchange; `unmountable` for a list of more than 16 MiB or 100 pages; `unavailable` if a later page is not
 *   a list.
 */
export async function listReferrers(
  exchange: Exchange,
  asked: Asked,
  digest: Digest,
  artifactType: string,
  signal: AbortSignal,
): Promise<readonly Descriptor[] | undefined> {
  const found: Descriptor[] = [];
  let left = maxBytes;
  let query: string | undefined = `?artifactType=${encodeURIComponent(artifactType)}`;
  for (let page = 0; query !== undefined; page += 1) {
    const tooLong = (): ArtifactError =>
      new ArtifactError(
        'unmountable',
        `${asked.subject}: the list of its referrers is above ${maxPages} pages or 16 MiB; remove those that are none`,
      );
    if (page === maxPages) throw tooLong();
    const body = collect(Math.min(left, maxManifestBytes), tooLong);
    const arrival: FinalResponse = await exchange(
      {
        ...asked,
        method: 'GET',
        path: `referrers/${digest}${query}`,
        headers: { accept: ociIndex },
        wanted: answers,
      },
      () => body.receive, // an endless error body counts as no list
      signal,
    );
    const bytes = body.bytes();
    left -= bytes.length;
    const list = arrival.status === 200 ? await toList(bytes, signal) : undefined;
    if (list === undefined) {
      const encoding = arrival.status === 200 ? describeEncoding(arrival.headers) : '';
      if (page === 0 && encoding === '') return undefined;
      throw new ArtifactError(
        'unavailable',
        `${asked.subject}: ${arrival.url.host} answered ${arrival.status} with no list for page ${page + 1} of its referrers${encoding}`,
      );
    }
    for (const descriptor of list) if (descriptor.artifactType === artifactType) found.push(descriptor);
    query = nextQuery(arrival);
  }
  return found;
}

/** Returns undefined for anything but an index, such as the page of a server that answers every URL. */
async function toList(bytes: Buffer, signal: AbortSignal): Promise<readonly Descriptor[] | undefined> {
  try {
    const list = await doInSlices(parseManifest(bytes, '', 'the list of referrers'), signal);
    return list.kind === 'index' ? list.manifests : undefined;
  } catch (thrown) {
    if (thrown instanceof ArtifactError && thrown.code === 'unmountable') return undefined;
    throw thrown;
  }
}

/** Returns only the query of the next page's URL (RFC 8288): a list cannot point to another path or host. */
function nextQuery({ url, headers }: FinalResponse): string | undefined {
  for (const [, target = '', parameters = ''] of (headers['link'] ?? '').matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (!/;\s*rel\s*=\s*(?:next\b|"(?:[^"]*\s)?next(?:\s[^"]*)?")/i.test(parameters)) continue;
    return URL.parse(target, url)?.search || undefined;
  }
  return undefined;
}

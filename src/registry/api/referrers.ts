import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { maxManifestBytes, parseManifest } from '../../oci/manifest.ts';
import { ociIndex } from '../../oci/media-type.ts';
import { ArtifactError } from '../../util/error.ts';
import { doInSlices } from '../../util/pace.ts';
import type { Exchange } from './exchange.ts';
import { collect, describeEncoding } from '../http/request.ts';
import type { Asked } from './manifest.ts';
import type { FinalResponse } from '../http/redirect.ts';

/** Beside the list, what registries answer that do not know its address. */
const answers: ReadonlySet<number> = new Set([200, 400, 404, 405, 501]);

const maxPages = 100;
const maxBytes = 4 * maxManifestBytes;

/**
 * What refers to a manifest and is of a type, from all pages of the registry's list; undefined if it keeps none (OCI
 * distribution spec, "Listing Referrers"). Not every registry filters, so that what comes is filtered again.
 *
 * @throws as Exchange; `unmountable` for a list of more than 16 MiB or 100 pages; `unavailable` for one that ends in
 *   something else.
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
      () => body.receive, // an error without an end is no better than such a list
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

/** Undefined for what is no index, such as the page of a registry that answers every address. */
async function toList(bytes: Buffer, signal: AbortSignal): Promise<readonly Descriptor[] | undefined> {
  try {
    const list = await doInSlices(parseManifest(bytes, '', 'the list of referrers'), signal);
    return list.kind === 'index' ? list.manifests : undefined;
  } catch (thrown) {
    if (thrown instanceof ArtifactError && thrown.code === 'unmountable') return undefined;
    throw thrown;
  }
}

/** Of the address of the next page (RFC 8288) the query alone: no list leads to another address than its own. */
function nextQuery({ url, headers }: FinalResponse): string | undefined {
  for (const [, target = '', parameters = ''] of (headers['link'] ?? '').matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (!/;\s*rel\s*=\s*(?:next\b|"(?:[^"]*\s)?next(?:\s[^"]*)?")/i.test(parameters)) continue;
    return URL.parse(target, url)?.search || undefined;
  }
  return undefined;
}

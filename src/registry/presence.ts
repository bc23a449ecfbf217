import type { Descriptor } from '../oci/descriptor.ts';
import { manifestMediaTypes } from '../oci/media-type.ts';
import type { Exchange } from './exchange.ts';
import type { Asked } from './manifest.ts';

/** What a repository is asked about. */
export type Content = { readonly kind: 'manifest' | 'blob'; readonly descriptor: Descriptor };

const answers: ReadonlySet<number> = new Set([200, 404]);

/**
 * Whether a repository has a manifest or blob of this digest and size (OCI distribution spec, "Checking if content
 * exists in the registry").
 *
 * @throws as Exchange.
 */
export async function isPresent(
  exchange: Exchange,
  asked: Asked,
  { kind, descriptor }: Content,
  signal: AbortSignal,
): Promise<boolean> {
  const { status, headers } = await exchange(
    {
      ...asked,
      method: 'HEAD',
      path: `${kind}s/${descriptor.digest}`,
      headers: kind === 'manifest' ? { accept: manifestMediaTypes.join(', ') } : {},
      wanted: answers,
    },
    () => () => {},
    signal,
  );
  return status === 200 && Number(headers['content-length'] ?? descriptor.size) === descriptor.size;
}

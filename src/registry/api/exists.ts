import { manifestMediaTypes } from '../../oci/manifest.ts';
import type { Content, ServedBy } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Head } from '../http/request.ts';
import type { ApiRequest, Exchange } from './exchange.ts';
import { type Asked, toServedBy } from './manifest.ts';

const ok: ReadonlySet<number> = new Set([200]);

/** Thrown when the head of a GET is enough and the body is not wanted. */
const shown = new Error('it is there');

/**
 * Answers which endpoint has a manifest or blob of this digest and size (OCI distribution spec, "Checking if content
 * exists in the registry"). A HEAD can confirm it. If the HEAD does not, the head of a GET decides.
 *
 * @throws as Exchange, except `not-found`.
 */
export async function exists(
  exchange: Exchange,
  asked: Asked,
  { kind, descriptor }: Content,
  signal: AbortSignal,
): Promise<ServedBy | undefined> {
  const isIt = ({ status, headers }: Head): boolean =>
    status === 200 && Number(headers['content-length'] ?? descriptor.size) === descriptor.size;
  const question: Omit<ApiRequest, 'method' | 'wanted'> = {
    ...asked,
    path: `${kind}s/${descriptor.digest}`,
    headers: kind === 'manifest' ? { accept: manifestMediaTypes.join(', ') } : {},
  };
  const head = await exchange({ ...question, method: 'HEAD', wanted: 'any' }, () => () => {}, signal);
  if (isIt(head)) return toServedBy(asked);
  const end = (here: Head): never => {
    throw isIt(here) ? shown : new ArtifactError('not-found', 'it is of another size');
  };
  try {
    await exchange({ ...question, method: 'GET', wanted: ok }, end, signal);
    return toServedBy(asked);
  } catch (thrown) {
    if (thrown === shown) return toServedBy(asked);
    if (thrown instanceof ArtifactError && thrown.code === 'not-found') return undefined;
    throw thrown;
  }
}

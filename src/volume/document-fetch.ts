import { maxManifestBytes } from '../oci/manifest.ts';
import { formatRepository } from '../oci/reference.ts';
import { ArtifactError } from '../util/error.ts';
import { toAbsence, toLack } from './absence.ts';
import type { Registry } from './contracts/registry.ts';
import type { Origin } from './layer-source.ts';
import type { Documents } from './manifests.ts';
import { createMemorySink } from './memory-sink.ts';
import type { PullRequest } from './request.ts';

/** Brings the manifests and configs of a pull that are not in the cache. @throws `not-found` offline. */
export function createFetch(
  registry: Registry,
  origin: Origin,
  { reference, caller }: Pick<PullRequest, 'reference' | 'caller'>,
): Documents['fetch'] {
  return async (kind, descriptor, signal) => {
    if (origin.kind === 'offline') {
      // A pod hears the same of what is here for others.
      throw caller === 'pod' ? toAbsence(reference) : toLack(`the ${kind} ${descriptor.digest}`);
    }
    const { repository, keyring } = origin;
    if (kind === 'manifest') return registry.manifest(repository, descriptor, keyring, signal);
    if (descriptor.size > maxManifestBytes) {
      throw new ArtifactError(
        'unmountable',
        `the config of ${formatRepository(repository)} has ${descriptor.size} bytes; ${maxManifestBytes} are the most that is read`,
      );
    }
    const sink = createMemorySink(descriptor);
    const place = await registry.blob(repository, descriptor, sink, keyring, signal);
    return { bytes: sink.bytes, place };
  };
}

import type { Keyring } from '../../oci/credential.ts';
import type { Reference } from '../../oci/reference.ts';
import type { BlobPart, ServedBy, Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import { type Asked, toServedBy } from '../api/manifest.ts';
import { noRange, transferPart } from '../api/part.ts';
import type { Upstream } from '../config/route.ts';
import { startMirrorRetries } from '../http/retry.ts';
import { type BlobWorld, failover } from './failover.ts';
import type { MirrorHealth } from './mirror-health.ts';

/**
 * Fetches a part of a blob into a sink, and verifies it there, from one upstream after the other. Returns which one sent
 * it; undefined if the last of them sends no ranges. A mirror rests for wrong bytes only if another upstream sends right
 * ones: what they are compared with may be wrong itself.
 */
export async function fetchPart(
  { exchange, downloads, health, plan, startRetries, bucketOf }: BlobWorld,
  reference: Reference,
  { descriptor, from, to }: BlobPart,
  sink: Sink,
  keyring: Keyring,
  signal: AbortSignal,
): Promise<ServedBy | undefined> {
  const request = await plan(reference, descriptor.digest, keyring, signal);
  await using transport = downloads.open(sink.file, to - from);
  const wrong = new Map<Upstream, ArtifactError>();
  const ask = async (asked: Asked, isLast: boolean): Promise<ServedBy | undefined> => {
    const policy = isLast ? startRetries(request) : startMirrorRetries();
    if (sink.offset > 0) sink.restart();
    try {
      const bucket = bucketOf(asked.upstream);
      const part = { ...asked, descriptor, sink, transport, bucket, from, to };
      await transferPart(exchange, part, policy, signal);
    } catch (thrown) {
      if (thrown === noRange && isLast) return undefined;
      throw thrown;
    }
    await sink.verify?.();
    if (!isLast) health.good(asked.upstream);
    for (const [mirror, lie] of wrong) health.bad(mirror, keyring.id, lie);
    return toServedBy(asked);
  };
  const noting: MirrorHealth = {
    ...health,
    bad(mirror, asker, failure) {
      const isWrong = failure instanceof ArtifactError && failure.code === 'corrupt';
      if (isWrong) wrong.set(mirror, failure);
      else if (failure !== noRange) health.bad(mirror, asker, failure);
    },
  };
  return await failover(request, noting, ask, signal);
}

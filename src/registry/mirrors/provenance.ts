import { createHash, type Hash } from 'node:crypto';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, toDigest } from '../../oci/digest.ts';
import type { Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Upstream } from '../config/upstream.ts';

/**
 * A sink that knows which places filled it, so that whoever sent wrong bytes can be told. `giver` is who is asked now.
 */
export type ProvenanceRecord = Sink & {
  giver: Upstream | undefined;
  /** Those whose bytes are in it. */
  readonly givers: ReadonlySet<Upstream>;
  /** Whether something was in it before any of them. */
  readonly resumed: boolean;
  /** @throws ArtifactError `corrupt` if what is in it has another digest; a sink that was resumed may not know. */
  verify(): Promise<void>;
};

/** Hashes only where the sink cannot verify itself. */
export function openProvenanceRecord(sink: Sink, { digest }: Descriptor): ProvenanceRecord {
  const givers = new Set<Upstream>();
  let giver: Upstream | undefined;
  let noted = sink.offset;
  /** Who is asked is a giver once something came. */
  const note = (): void => {
    const { offset } = sink;
    if (offset > noted && giver !== undefined) givers.add(giver);
    noted = offset;
  };
  const { file } = sink;
  const algorithm = algorithmOf(digest);
  let resumed = sink.offset > 0;
  let hash: Hash | undefined = sink.verify === undefined && !resumed ? createHash(algorithm) : undefined;
  return {
    get giver() {
      return giver;
    },
    set giver(place) {
      giver = place;
    },
    givers,
    get resumed() {
      return resumed;
    },
    get offset() {
      return sink.offset;
    },
    write(chunk) {
      hash?.update(chunk);
      sink.write(chunk);
      note();
    },
    restart() {
      givers.clear();
      noted = 0;
      resumed = false;
      if (sink.verify === undefined) hash = createHash(algorithm);
      sink.restart();
    },
    ...(file && {
      file: {
        ...file,
        grown() {
          note();
          file.grown();
        },
      },
    }),
    async verify() {
      if (sink.verify !== undefined) return sink.verify();
      if (hash === undefined) return;
      const actual = toDigest(algorithm, hash.digest('hex'));
      if (actual === digest) return;
      throw new ArtifactError(
        'corrupt',
        `the ${sink.offset} bytes that came for ${digest} have digest ${actual}`,
      );
    },
  };
}

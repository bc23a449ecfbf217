import { createHash, type Hash } from 'node:crypto';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, toDigest } from '../../oci/digest.ts';
import type { Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Upstream } from '../config/route.ts';

/**
 * A sink that records which upstreams filled it, to find the one that sent wrong bytes. `source` is the upstream asked
 * now.
 */
export type ProvenanceRecord = Sink & {
  source: Upstream | undefined;
  /** The upstreams whose bytes are in the sink. */
  readonly sources: ReadonlySet<Upstream>;
  /** Whether the sink had bytes before any of them. */
  readonly resumed: boolean;
  /** @throws ArtifactError `corrupt` if the content has another digest; a resumed sink may not know. */
  verify(): Promise<void>;
};

/** Hashes only if the sink cannot verify itself. @param came called when bytes of an upstream have come. */
export function openProvenanceRecord(
  sink: Sink,
  { digest }: Descriptor,
  came: (source: Upstream) => void,
): ProvenanceRecord {
  const sources = new Set<Upstream>();
  let source: Upstream | undefined;
  let noted = sink.offset;
  /** An upstream becomes a source when bytes arrive. */
  const note = (): void => {
    const { offset } = sink;
    if (offset > noted && source !== undefined) {
      sources.add(source);
      came(source);
    }
    noted = offset;
  };
  const { file } = sink;
  const algorithm = algorithmOf(digest);
  let resumed = sink.offset > 0;
  let hash: Hash | undefined = sink.verify === undefined && !resumed ? createHash(algorithm) : undefined;
  return {
    get source() {
      return source;
    },
    set source(upstream) {
      source = upstream;
    },
    sources,
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
      sources.clear();
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
        announced(bytes: number) {
          if (source !== undefined) came(source);
          file.announced?.(bytes);
        },
      },
    }),
    allowance: sink.allowance,
    ...(sink.isAwaited === undefined ? {} : { isAwaited: sink.isAwaited }),
    async verify() {
      if (sink.verify !== undefined) return sink.verify();
      if (hash === undefined) return;
      const actual = toDigest(algorithm, hash.digest('hex'));
      if (actual === digest) return;
      const senders = [...sources].map(({ host }) => host).join(' and ');
      throw new ArtifactError(
        'corrupt',
        `${senders} sent ${sink.offset} bytes for ${digest} whose digest is ${actual}: wrong content, dropped; check that registry or mirror, or push the artifact again`,
      );
    },
  };
}

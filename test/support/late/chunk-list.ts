import { hash } from 'node:crypto';
import type { DemoLayer } from '../../../src/cli/demo/artifact.ts';
import { chunksAnnotation, formatChunkList } from '../../../src/oci/chunk-list.ts';
import { parseDigest } from '../../../src/oci/digest.ts';
import { chunkListType } from '../../../src/oci/plan.ts';
import { sha256 } from '../oci/tar.ts';

const MiB = 1024 * 1024;

/** A file to push and its chunk list, which may be that of other bytes. */
export function listed(
  name: string,
  bytes: Buffer,
  listOf: Buffer = bytes,
  chunkSize: number = MiB,
): readonly [DemoLayer, DemoLayer] {
  const digests: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkSize)
    digests.push(hash('sha256', listOf.subarray(at, at + chunkSize), 'buffer'));
  const blob = { digest: parseDigest(sha256(bytes)), size: bytes.length };
  const list = formatChunkList({ chunkSize, blob, digests: Buffer.concat(digests) });
  return [
    { name, bytes, annotations: { [chunksAnnotation]: sha256(list) } },
    { name: `${name}.chunks`, bytes: list, mediaType: chunkListType },
  ];
}

import type { Digest } from '../oci/digest.ts';
import { type Fields, isAbsentOr, isCount, isDigestList, isDigestText, isText } from './json-record.ts';

/** What a view is made of; `views/<key>.json`, beside the view. */
export type ViewRecord = {
  readonly key: string;
  readonly manifest: Digest;
  readonly reference: string;
  readonly artifactType?: string;
  readonly blobs: readonly Digest[];
  readonly layers: readonly Digest[];
  readonly bytes: number;
  readonly inodes: number;
};

/** The record of a sidecar's fields, or undefined where it is torn, foreign, or another view's. */
export function parseView(fields: Fields, key: string): ViewRecord | undefined {
  const { manifest, reference, artifactType, blobs, layers, bytes, inodes, ...rest } = fields;
  if (rest['key'] !== key || !isDigestText(manifest) || !isText(reference)) return undefined;
  if (!isAbsentOr(isText, artifactType) || !isDigestList(blobs) || !isDigestList(layers)) return undefined;
  if (!isCount(bytes) || !isCount(inodes)) return undefined;
  const type = artifactType !== undefined && { artifactType };
  return { ...rest, key, manifest, reference, ...type, blobs, layers, bytes, inodes };
}

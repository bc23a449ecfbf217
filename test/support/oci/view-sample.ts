import { toDigest } from '../../../src/oci/digest.ts';
import type { Blobs, ViewRecord } from '../../../src/ports/store.ts';
import type { FileNode } from '../../../src/tree/tree.ts';
import { blobFile, describeBlob } from './nodes.ts';

/** The record of a view, with something in each kind of field. */
export const viewRecord: ViewRecord = {
  key: 'key-1',
  manifest: toDigest('sha256', 'ab'.repeat(32)),
  reference: 'ghcr.io/acme/model:v1',
  artifactType: 'application/vnd.acme.model',
  blobs: [toDigest('sha256', 'cd'.repeat(32))],
  layers: [toDigest('sha512', 'ef'.repeat(64))],
  bytes: 10,
  inodes: 3,
};

/** Stores a blob, and returns a file of it for a tree. */
export async function putFile(blobs: Pick<Blobs, 'put'>, content: string): Promise<FileNode> {
  const descriptor = describeBlob(Buffer.from(content));
  await blobs.put(descriptor.digest, Buffer.from(content));
  return blobFile(descriptor);
}

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';

/** A tar of entries in order, as text or bytes; `gzip` compresses it. */
export async function tarOf(
  entries: readonly (readonly [Partial<Header> & { name: string }, (string | Buffer)?])[],
): Promise<Buffer> {
  const tar = pack();
  for (const [header, content] of entries) tar.entry(header, content ?? '');
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export function gzip(bytes: Uint8Array): Buffer {
  return gzipSync(bytes);
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

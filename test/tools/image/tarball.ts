import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { extract } from 'tar-stream';

/** The files of a .tgz in one directory, as npm and Helm have them, by their paths in this directory. */
export async function readTarball(bytes: Buffer): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const reader = extract();
  reader.end(gunzipSync(bytes));
  for await (const entry of reader) {
    files.set(entry.header.name.replace(/^[^/]*\//, ''), await buffer(entry));
  }
  return files;
}

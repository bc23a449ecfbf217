import { createHash } from 'node:crypto';
import { closeSync, constants, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { type DataFile, maxTar, tarBlock, toBody } from '../tree/toc.ts';
import { writeAll } from '../util/regular-file.ts';
import { copyData } from './body-files.ts';
import type { BodyStore } from './body-store.ts';
import { paddingOf } from './headers.ts';

/**
 * Keeps the tar as one file, and extracts nothing but sparse files, whose holes a tar does not have. Both files are
 * padded to a block: that is how images read them.
 */
export function openTarFiles(into: string): BodyStore {
  const tar = create(join(into, 'tar'));
  let size = 0;
  let sparse: SparseFiles | undefined;
  return {
    receive(chunk) {
      if (size + chunk.length > maxTar) throw new Error('it has more than 1 TiB');
      writeAll(tar, chunk, size);
      size += chunk.length;
    },
    *take({ entry, data, map }, lookahead) {
      if (map !== undefined) {
        if (entry.size > maxTar) throw new Error('a sparse file has more than 1 TiB');
        sparse ??= openSparseFiles(into);
        const body = toBody('sparse', sparse.begin());
        yield* copyData(lookahead, map, entry.size, sparse);
        return { body, sha256: '' };
      }
      const body = toBody('tar', lookahead.position() / tarBlock);
      if (!lookahead.skipNow(data) && (yield* lookahead.skip(data)) < data)
        throw new Error('it ends too early');
      return { body, sha256: '' };
    },
    describe() {},
    flush: () => undefined,
    reach: (read, more) => ({
      most: { bytes: read + more, inodes: mostFiles },
      present: { bytes: read, inodes: mostFiles },
    }),
    async finish(hexWith) {
      const padding = Buffer.alloc(paddingOf(size));
      writeAll(tar, padding, size);
      const own: DataFile = { name: 'tar', size: size + padding.length, sha256: hexWith(padding) };
      return sparse === undefined ? [own] : [own, sparse.finish()];
    },
    async [Symbol.asyncDispose]() {
      closeSync(tar);
      sparse?.[Symbol.dispose]();
    },
  };
}

/** The two files, the table, and the directory. */
const mostFiles = 4;

/** The bodies of sparse files, one after the other, each from a block on. */
type SparseFiles = Disposable & {
  /** Begins the next body, and returns its block, which no other body has. */
  begin(): number;
  write(chunk: Uint8Array): void;
  skip(length: number): void;
  finish(): DataFile;
};

function openSparseFiles(into: string): SparseFiles {
  const fd = create(join(into, 'sparse'));
  const sha256 = createHash('sha256');
  let size = 0;
  let begun = -1;
  const skip = (length: number): void => {
    for (let left = length; left > 0; left -= zeros.length) sha256.update(zeros.subarray(0, left));
    size += length;
  };
  const pad = (): void => skip(paddingOf(size));
  return {
    begin() {
      pad();
      if (size === begun) skip(tarBlock); // an empty body takes a block
      begun = size;
      return size / tarBlock;
    },
    write(chunk) {
      sha256.update(chunk);
      writeAll(fd, chunk, size);
      size += chunk.length;
    },
    skip,
    finish() {
      pad();
      ftruncateSync(fd, size);
      return { name: 'sparse', size, sha256: sha256.digest('hex') };
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

const zeros = new Uint8Array(64 * 1024);

function create(path: string): number {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  return openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
}

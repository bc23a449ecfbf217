import { hash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DiskAmount } from '../ports/disk.ts';
import { bodiesPerDirectory, bodyDirectory, bodyName } from '../tree/layer-files.ts';
import { type Body, openBody, writeBody } from './body.ts';
import { smallBody } from './body-batch.ts';
import type { BodyStore } from './body-store.ts';
import { openBodyWriter } from './body-writer.ts';
import type { Lookahead } from './lookahead.ts';
import type { SparseMap } from './sparse.ts';
import { openXattrWriter, type SetXattrs } from './xattr-batch.ts';

/** A file occupies whole blocks. */
const blockSize = 4096;
/** No entry of a tar is shorter. */
const leastEntry = 512;

/**
 * Writes each body to a file of its own, under its number.
 *
 * @param into the directory of the layer. Paths of the tar are never used as paths.
 * @param onDropped called with an attribute that the filesystem refused.
 */
export function openBodyFiles(
  into: string,
  setXattrs: SetXattrs,
  onDropped: (name: string) => void,
): BodyStore {
  const small = openBodyWriter(into);
  const xattrs = openXattrWriter(into, setXattrs, onDropped);
  let bodies = 0;
  return {
    receive() {},
    *take({ entry, data, map }, lookahead) {
      const body = bodies++;
      if (body % bodiesPerDirectory === 0) mkdirSync(join(into, bodyDirectory(body)), 0o700);
      const path = join(into, bodyName(body));
      if (data <= smallBody && map === undefined) {
        const bytes = yield* lookahead.take(data);
        if (bytes.length < data) throw new Error('it ends too early');
        if (small.takes(entry, data)) small.write(body, entry, bytes);
        else writeBody(path, entry, bytes);
        return { body, sha256: hash('sha256', bytes, 'hex') };
      }
      const open = openBody(path, entry);
      let sha256: string | undefined;
      try {
        yield* copyData(lookahead, map ?? [{ offset: 0, length: data }], entry.size, open);
        sha256 = open.finish();
      } finally {
        if (sha256 === undefined) open.abandon();
      }
      return { body, sha256 };
    },
    describe: xattrs.add,
    flush: xattrs.flush,
    reach(read, more) {
      const most = bodies + Math.ceil(more / leastEntry);
      return {
        most: { bytes: read + more + most * blockSize, inodes: countInodes(most) },
        present: { bytes: read, inodes: bodies - small.waiting() },
      };
    },
    async finish() {
      await xattrs.finish();
      await small.finish();
      return undefined;
    },
    [Symbol.asyncDispose]: () => small[Symbol.asyncDispose](),
  };
}

/** The bodies, their directories, the layer's own, and its table. */
function countInodes(bodies: number): DiskAmount['inodes'] {
  return bodies + Math.ceil(bodies / bodiesPerDirectory) + 2;
}

/** Copies the parts of a body from the tar, and leaves the holes between them. */
export function* copyData(
  lookahead: Lookahead,
  map: SparseMap,
  size: number,
  to: Pick<Body, 'write' | 'skip'>,
): Generator<void, void> {
  let end = 0;
  for (const { offset, length } of map) {
    to.skip(offset - end);
    for (let left = length; left > 0; ) {
      const some = yield* lookahead.takeSome(left);
      if (some.length === 0) throw new Error('it ends too early');
      to.write(some);
      left -= some.length;
    }
    end = offset + length;
  }
  to.skip(size - end);
}

import { hash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fchmodSync,
  fstatSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, type Digest, hexOf, toDigest } from '../../oci/digest.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import type { Blobs, Item } from '../../ports/store.ts';
import { never } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { openRegular } from '../../util/regular-file.ts';
import { unlessAbsent } from '../files/absent.ts';
import type { DigestDirectories, Directory } from '../files/directory.ts';
import { openHandle } from '../files/directory.ts';
import { attempt } from '../files/failure.ts';
import { hashFile } from '../files/file-hash.ts';
import { removeTree } from '../files/scratch.ts';
import { formatStored, type Unsynced } from '../files/unsynced.ts';
import { createWriteback } from '../files/writeback.ts';
import { findDamage } from '../integrity/damage.ts';
import type { EvidenceStore } from '../integrity/evidence.ts';
import { listHeld, openPartials } from './held-blobs.ts';
import { readFilled } from './holes.ts';
import { openIngest, partialName, retirePartials } from './ingest.ts';
import { shareFile } from './shared-file.ts';

/** Verified bytes under `blobs/<algorithm>/<hex>`, mode 0644. Each file is complete or absent, and never changes. */
export type BlobStore = Blobs & {
  /**
   * Makes a path and the download of a blob from a source one file, or the blob, if it is there: an existing one gets
   * the other name. Creates it if there is none.
   */
  share(descriptor: Pick<Descriptor, 'digest' | 'size'>, source: string, path: string): Promise<void>;
  /** Makes a verified file the blob, under one more name, unless there is a blob. A power cut may remove it. */
  adopt(digest: Digest, path: string): Promise<void>;
  /** Removes abandoned downloads. */
  retire(takeAway: (path: string) => Promise<void>): Promise<void>;
};

/**
 * @param aside returns an unused path for an incomplete file. @param ingests the directory of partial downloads, by
 * digest, size and source.
 */
export function openBlobs(
  directories: DigestDirectories,
  ingests: Directory,
  aside: () => string,
  unsynced: Unsynced,
  witness: Pick<EvidenceStore, 'arrived' | 'forget' | 'relink'>,
): BlobStore {
  const ingestDirectory = ingests.path;
  const openIngests = new Set<string>();
  const partials = openPartials(ingestDirectory);
  const writeback = createWriteback();
  const path = (digest: Digest): string => directories.path(digest);

  // Calls of microseconds are synchronous: through Node's thread pool they would take ten times the CPU time.
  const sizeNow = (digest: Digest): number | undefined =>
    lstatSync(path(digest), { throwIfNoEntry: false })?.size;
  const size = (digest: Digest): Promise<number | undefined> =>
    attempt(`looking for blob ${digest}`, async () => sizeNow(digest));

  /** Moves a complete, verified file to its path. An existing file stays: views are linked to it. */
  const place = async (from: string, digest: Digest): Promise<void> => {
    const to = path(digest);
    const move = (): void => {
      if (sizeNow(digest) !== undefined) return rmSync(from);
      renameSync(from, to);
      witness.arrived(toItem(digest));
    };
    if (sizeNow(digest) !== undefined) move();
    else await unsynced.place(nameOf(digest), move, [to, directories.above(digest).path]);
  };

  return {
    size,
    path,

    read: digest =>
      attempt(`reading blob ${digest}`, async () => {
        const bytes = await unlessAbsent(readSmall(path(digest), digest));
        if (bytes === undefined) throw new ArtifactError('not-found', `blob ${digest} is not in the cache`);
        verifyDigest(bytes, digest, `blob ${digest} in the cache is damaged`);
        return bytes;
      }),

    expect: digests => unsynced.expect(digests.map(nameOf)),

    put: (digest, bytes) =>
      attempt(`storing blob ${digest}`, async () => {
        verifyDigest(bytes, digest, `blob ${digest} is not stored`);
        if (sizeNow(digest) !== undefined) return;
        const from = aside();
        try {
          writeFile(from, bytes);
          await place(from, digest);
        } catch (thrown) {
          rmSync(from, { force: true }); // at once: on a full disk, others can use the space
          throw thrown;
        }
      }),

    async ingest(descriptor, source, signal) {
      const { digest } = descriptor;
      const name = partialName(descriptor, source);
      if (openIngests.has(name))
        throw new ArtifactError('busy', `blob ${digest} is being downloaded already`);
      openIngests.add(name);
      partials.add(name);
      const closed = (): void => void openIngests.delete(name);
      try {
        const partial = join(ingestDirectory, name);
        const placeIt = async (fd: number, from: string): Promise<void> => {
          setMode(fd);
          await place(from, digest);
        };
        return await openIngest(partial, descriptor, { place: placeIt, writeback, closed }, signal);
      } catch (thrown) {
        closed();
        throw thrown;
      }
    },

    partial(descriptor, source) {
      try {
        return partialSize(join(ingestDirectory, partialName(descriptor, source)), descriptor.size);
      } catch {
        return 0; // opening it reports the error
      }
    },

    share: (descriptor, source, at) =>
      attempt(`linking the download of blob ${descriptor.digest}`, async () => {
        const name = partialName(descriptor, source);
        const blob = path(descriptor.digest);
        if (!existsSync(blob)) return shareFile(join(ingestDirectory, partials.add(name)), at);
        if (!existsSync(at))
          await witness.relink([toItem(descriptor.digest)], async () => linkSync(blob, at));
      }),

    adopt: (digest, verified) =>
      attempt(`storing blob ${digest}`, async () => {
        const fd = openRegular(verified);
        try {
          setMode(fd);
        } finally {
          closeSync(fd);
        }
        const from = aside();
        linkSync(verified, from);
        await place(from, digest);
      }),

    check: (digest, signal, look = hashFile) =>
      attempt(`checking blob ${digest}`, async () => {
        const isThere = (): boolean => lstatSync(path(digest), { throwIfNoEntry: false }) !== undefined;
        if (!isThere()) return undefined;
        const { uid, gid } = statSync(directories.above(digest).path);
        const bytes = { algorithm: algorithmOf(digest), hex: hexOf(digest) };
        const damage = await findDamage(path(digest), { ...bytes, mode: 0o644, uid, gid }, look, signal);
        return isThere() ? damage : undefined; // it was removed in the meantime
      }),

    remove: digest =>
      attempt(`removing blob ${digest}`, async () => {
        witness.forget(toItem(digest));
        unsynced.forget(nameOf(digest));
        await unlessAbsent(removeTree(path(digest), never)); // a foreign directory may be there
        for (const name of partials.namesOf(digest)) {
          if (!openIngests.has(name)) await unlessAbsent(removeTree(join(ingestDirectory, name), never));
        }
      }),

    retire: takeAway => retirePartials(ingestDirectory, name => openIngests.has(name), takeAway),

    list: () => attempt('listing the blobs', () => listHeld(directories, ingestDirectory, partials)),
  };
}

function toItem(digest: Digest): Item {
  return { kind: 'blobs', digest };
}

/** Bytes from the start of a partial file that are there. */
function partialSize(path: string, size: number): number {
  const length = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (length <= size) return length;
  const fd = openRegular(path);
  try {
    return readFilled(fd, length, size).bytes;
  } finally {
    closeSync(fd);
  }
}

function nameOf(digest: Digest): string {
  return formatStored(toItem(digest));
}

function writeFile(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'wx', 0o644);
  try {
    setMode(fd);
    writeFileSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

/** The mode of a new file is subject to the umask. */
function setMode(fd: number): void {
  if ((fstatSync(fd).mode & 0o7777) !== 0o644) fchmodSync(fd, 0o644);
}

async function readSmall(path: string, digest: Digest): Promise<Uint8Array> {
  await using file = await openHandle(path);
  const { size } = await file.stat();
  if (size <= maxManifestBytes) return file.readFile();
  throw new ArtifactError(
    'invalid',
    `blob ${digest} has ${size} bytes; only up to ${maxManifestBytes} are read at once`,
  );
}

function verifyDigest(bytes: Uint8Array, digest: Digest, failure: string): void {
  const algorithm = algorithmOf(digest);
  const actual = toDigest(algorithm, hash(algorithm, bytes));
  if (actual !== digest) {
    throw new ArtifactError('corrupt', `${failure}: its ${bytes.length} bytes have digest ${actual}`);
  }
}

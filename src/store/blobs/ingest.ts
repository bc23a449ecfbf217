import { createHash, type Hash, hash } from 'node:crypto';
import { constants, ftruncateSync, lstatSync, readdirSync } from 'node:fs';
import { type FileHandle, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, type Digest, hexOf, isDigest, toDigest } from '../../oci/digest.ts';
import type { Ingest } from '../../ports/store.ts';
import { doEach } from '../../util/each.ts';
import { ArtifactError } from '../../util/error.ts';
import {
  announce,
  beginAnew,
  createFileState,
  type Holes,
  setSize,
  sizeOf,
} from '../../util/growing-file.ts';
import { isIrregular, writeAll } from '../../util/regular-file.ts';
import { openHandle } from '../files/directory.ts';
import { attempt, toStoreError } from '../files/failure.ts';
import { hashFile } from '../files/file-hash.ts';
import type { Writeback } from '../files/writeback.ts';
import type { AdoptedFile } from './adopted-file.ts';
import { openHoles } from './holes.ts';

/** The dependencies of a download. */
export type Keeper = {
  /** Moves the complete file to the path of its digest. */
  place(fd: number, path: string): Promise<void>;
  readonly writeback: Writeback;
  /** Called once, when the file is closed. */
  closed(): void;
};

/**
 * The bytes after which the kernel starts to write to the disk while more arrive. Otherwise the fsync at commit has the
 * whole of a large blob to write: 512 MiB took 135 ms longer.
 */
const writebackStep = 8 * 1024 * 1024;

export async function openIngest(
  path: string,
  descriptor: Descriptor,
  { place, writeback, closed }: Keeper,
  signal: AbortSignal,
): Promise<Ingest> {
  const { digest, size } = descriptor;
  const algorithm = algorithmOf(digest);
  const doing = `downloading blob ${digest}`;
  const create = (): Promise<FileHandle> => openHandle(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  const file = await attempt(doing, () =>
    create().catch(async (thrown: unknown) => {
      if (!isIrregular(thrown)) throw thrown;
      await rm(path, { recursive: true, force: true });
      return create();
    }),
  );
  const state = createFileState();
  /** The hash of the bytes that were written here, from the first on. */
  let own: { readonly hash: Hash; to: number } | undefined;
  /** The hash that a worker reported. */
  let told: { readonly hex: string; readonly size: number } | undefined;
  let adopted: AdoptedFile | undefined;
  let flushed = 0;
  let flushing: Promise<void> | undefined;
  let phase: 'open' | 'verifying' | 'verified' | 'ended' = 'open';

  const offset = (): number => sizeOf(state);
  const leave = (): void => {
    adopted?.[Symbol.dispose]();
    adopted = undefined;
  };
  const restart = (): void => {
    leave();
    holes.close();
    ftruncateSync(file.fd, 0);
    beginAnew(state);
    own = undefined;
    told = undefined;
    flushed = 0;
  };
  const giveUp = (message: string): ArtifactError => {
    restart();
    return new ArtifactError('corrupt', `blob ${digest}: ${message}`);
  };
  const toFailure = (thrown: unknown): ArtifactError => {
    const failure = toStoreError(doing, thrown);
    if (failure.code === 'exhausted') restart();
    return failure;
  };
  const expectPhase = (expected: typeof phase): void => {
    if (phase !== expected) throw new ArtifactError('internal', `${doing}: it is ${phase}, not ${expected}`);
  };
  const flush = (): void => {
    const to = offset();
    if (to - flushed < writebackStep) return;
    const begun = writeback.start(file.fd, flushed, to - flushed);
    if (begun === undefined) return;
    flushing = begun;
    flushed = to;
  };
  const hashOwn = (chunk: Uint8Array, from: number): void => {
    if (from === 0) own = { hash: createHash(algorithm), to: 0 };
    if (own?.to !== from) return;
    own.hash.update(chunk);
    own.to += chunk.length;
  };
  /** If the removal fails, the file disturbs nothing and is removed after a day. The earlier error matters. */
  const forget = (): Promise<void> => rm(path, { force: true }).catch(() => {});
  const hexOfAll = async (): Promise<string> => {
    if (told?.size === size) return told.hex;
    if (own?.to === size) return own.hash.copy().digest('hex');
    return (await hashFile(adopted?.path ?? path, algorithm, signal)).hex;
  };

  let holes: Holes;
  try {
    holes = openHoles(file.fd, state, size);
    flushed = offset();
  } catch (thrown) {
    await file.close();
    throw toStoreError(doing, thrown);
  }

  return {
    get path() {
      return adopted?.path ?? path;
    },
    get offset() {
      return offset();
    },
    file: {
      fd: file.fd,
      algorithm,
      state,
      grown: flush,
      announced: bytes => announce(state, bytes),
      hashed(hex) {
        told = { hex, size: offset() };
      },
      failed: toFailure,
      holes,
      async adopt(other) {
        expectPhase('open');
        const { adoptFile } = await import('./adopted-file.ts');
        adopted = adoptFile(file.fd, other, size);
        setSize(state, size);
      },
    },
    restart() {
      expectPhase('open');
      restart();
    },
    write(chunk) {
      expectPhase('open');
      const from = offset();
      if (from + chunk.length > size) throw giveUp(`more than its ${size} bytes came`);
      try {
        writeAll(file.fd, chunk, from);
        hashOwn(chunk, from);
        setSize(state, from + chunk.length);
        flush();
      } catch (thrown) {
        throw toFailure(thrown);
      }
    },
    async verify() {
      if (phase === 'verified') return;
      expectPhase('open');
      if (offset() !== size) throw giveUp(`${offset()} bytes came where ${size} were expected`);
      if (adopted === undefined) holes.close();
      phase = 'verifying';
      const hex = await attempt(doing, hexOfAll).finally(() => {
        phase = 'open';
      });
      const actual = toDigest(algorithm, hex);
      if (actual !== digest)
        throw giveUp(
          `the ${size} bytes that came have digest ${actual}, so they are dropped; check their source`,
        );
      if (adopted?.isChanged()) throw giveUp('the program that brought it changed it meanwhile');
      phase = 'verified';
    },
    async commit() {
      expectPhase('verified');
      phase = 'ended';
      const from = adopted?.path ?? path;
      await attempt(`storing blob ${digest}`, () => place(file.fd, from)).catch(async (thrown: unknown) => {
        await forget(); // it is not truncated: the error may have come after it got the name of its digest
        throw thrown;
      });
      if (adopted !== undefined) await forget();
    },
    async drop() {
      phase = 'ended';
      await forget();
    },
    async [Symbol.asyncDispose]() {
      if (phase === 'open' && (offset() === 0 || adopted !== undefined)) await forget();
      phase = 'ended';
      await flushing;
      leave();
      await file.close().catch(() => {});
      closed();
    },
  };
}

/**
 * Returns the file of a download. The bytes of one source are not reused for another, and a manifest that reports
 * another size has another file.
 */
export function partialName({ digest, size }: Pick<Descriptor, 'digest' | 'size'>, source: string): string {
  return `${algorithmOf(digest)}-${hexOf(digest)}-${hash('sha256', `${size} ${source}`).slice(0, 16)}`;
}

/** Returns the digest of such a file. */
export function digestOf(partial: string): Digest | undefined {
  const digest = partial.slice(0, partial.lastIndexOf('-')).replace('-', ':');
  return isDigest(digest) ? digest : undefined;
}

/** Milliseconds after which a partial download is abandoned. */
const idle = 24 * 60 * 60 * 1000;

/** Removes the partial downloads without writes for a day, except those that are open. */
export async function retirePartials(
  directory: string,
  isOpen: (name: string) => boolean,
  takeAway: (path: string) => Promise<void>,
): Promise<void> {
  const oldest = Date.now() - idle;
  await doEach(readdirSync(directory), async name => {
    if (isOpen(name)) return;
    const path = join(directory, name);
    // The file may have ended in the meantime.
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status !== undefined && status.mtimeMs < oldest) await takeAway(path);
  });
}

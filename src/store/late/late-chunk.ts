import { createHash } from 'node:crypto';
import { closeSync, constants, read } from 'node:fs';
import { promisify } from 'node:util';
import type { LateChunk } from '../../ports/late-views.ts';
import { ArtifactError } from '../../util/error.ts';
import { beginAnew, createFileState, setSize, sizeOf } from '../../util/growing-file.ts';
import { openRegular, writeAll } from '../../util/regular-file.ts';
import { toStoreError } from '../files/failure.ts';

const readAt = promisify(read);
const step = 1024 * 1024;

/** `name`: in errors. `digest`: its sha256, in hex. `ended`: called once. */
export type LateChunkPlace = {
  readonly data: string;
  readonly blob: string;
  readonly from: number;
  readonly to: number;
  readonly name: string;
  readonly digest: () => string;
  readonly show: () => Promise<void>;
  readonly ended: () => void;
};

/** Opens the place of a missing chunk in the file of its layer. Nobody reads it before it is shown. */
export function openLateChunk(place: LateChunkPlace): LateChunk {
  const { data, blob, from, to, name, digest, show, ended } = place;
  const fd = openRegular(data, constants.O_RDWR);
  const size = to - from;
  const state = createFileState();
  let told: string | undefined;
  let isRight = false;

  const failed = (thrown: unknown): ArtifactError => toStoreError(`writing ${name}`, thrown);
  const restart = (): void => {
    beginAnew(state);
    told = undefined;
    isRight = false;
  };
  const write = (bytes: Uint8Array): void => {
    const at = from + sizeOf(state);
    if (at + bytes.length > to)
      throw new ArtifactError('corrupt', `${name}: more than its ${size} bytes came`);
    try {
      writeAll(fd, bytes, at);
    } catch (thrown) {
      throw failed(thrown);
    }
    setSize(state, sizeOf(state) + bytes.length);
  };
  /** Calls back with the bytes of the chunk in a file. */
  const readOf = async (file: number, take: (bytes: Uint8Array) => void): Promise<void> => {
    const buffer = Buffer.allocUnsafe(Math.min(step, size));
    for (let at = from; at < to; ) {
      const { bytesRead } = await readAt(file, buffer, 0, Math.min(step, to - at), at);
      if (bytesRead === 0) throw new ArtifactError('corrupt', `${name} ends after ${at - from} bytes`);
      take(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  };

  return {
    from,
    to,
    get offset() {
      return sizeOf(state);
    },
    file: {
      fd,
      algorithm: 'sha256',
      state,
      base: from,
      grown() {},
      hashed(hex) {
        told = sizeOf(state) === size ? hex : undefined;
      },
      failed,
    },
    write,
    restart,
    async verify() {
      if (sizeOf(state) !== size)
        throw new ArtifactError(
          'corrupt',
          `${name}: ${sizeOf(state)} bytes came where ${size} were expected`,
        );
      const hash = createHash('sha256');
      if (told === undefined) await readOf(fd, bytes => hash.update(bytes));
      const actual = told ?? hash.digest('hex');
      isRight = actual === digest();
      if (isRight) return;
      restart();
      throw new ArtifactError(
        'corrupt',
        `${name}: the ${size} bytes that came have sha256:${actual}, which is not in the list`,
      );
    },
    async copy() {
      restart();
      const whole = openRegular(blob);
      try {
        await readOf(whole, write);
      } finally {
        closeSync(whole);
      }
      isRight = true;
    },
    async show() {
      if (!isRight) throw new ArtifactError('internal', `${name} is not verified`);
      await show();
    },
    [Symbol.dispose]() {
      closeSync(fd);
      ended();
    },
  };
}

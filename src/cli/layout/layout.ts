import { constants, createReadStream, openSync, type Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { describeKind } from './file-kind.ts';
import { chunk, type Layout } from './layout-stream.ts';
import { readIndexMember } from './tar-index.ts';

/**
 * An OCI image layout as a tar stream: `-` is stdin, a directory is packed while it is read, a file is read as a tar
 * with its index.json first. A FIFO, such as `<(...)` of a shell, is read like stdin.
 *
 * @throws ArtifactError `invalid` if the path is none of these.
 */
export async function readLayout(path: string, stdin: Readable, signal: AbortSignal): Promise<Layout> {
  if (path === '-') return toLayout(stdin);
  const stats = await inspect(path);
  if (stats.isDirectory()) return (await import('./layout-directory.ts')).packDirectory(path, signal);
  if (stats.isFIFO()) return toLayout(openFifo(path));
  if (!stats.isFile())
    throw new ArtifactError('invalid', `it is ${describeKind(stats)}, not a directory or a tar`);
  const index = await findIndex(path);
  const rest = createReadStream(path, { highWaterMark: chunk });
  return { ...toLayout(rest), tar: sendFirst(index, rest), bytes: index.length + stats.size };
}

/** How messages name the layout at a path. */
export function labelLayout(path: string): string {
  return path === '-' ? 'the layout on standard input' : path;
}

async function inspect(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    const what = 'no OCI image layout is there: that is a directory with index.json, or its tar';
    throw new ArtifactError('invalid', what, error);
  }
}

function toLayout(tar: Readable): Layout {
  return { tar, bytes: undefined, [Symbol.dispose]: () => void tar.destroy() };
}

/** Opens a FIFO so that waiting for its writer can be interrupted. */
function openFifo(path: string): Readable {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

async function findIndex(path: string): Promise<Uint8Array> {
  await using file = await open(path);
  return (await readIndexMember(file)) ?? Buffer.alloc(0);
}

async function* sendFirst(start: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  if (start.length > 0) yield start;
  yield* rest;
}

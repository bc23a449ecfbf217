import { hash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { extract } from 'tar-stream';
import { decodeName, quoteName } from '../oci/name.ts';
import { bodiesPerFolder, bodyFolder, bodyName, type TocEntry } from '../oci/toc.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { openBody, writeBody, type Body } from './body.ts';
import type { BodyWriter } from './body-writer.ts';
import type { EntryHead, FileHead, TarHeader } from './entry.ts';
import { createHeadReader, type HeadLimits } from './head-reader.ts';

export type ExtractionOptions = HeadLimits & {
  /** The folder for bodies, each under its number. No path of the tar is ever used as one. */
  readonly into: string;
  /** For the small ones; the caller's to finish. */
  readonly small: Pick<BodyWriter, 'takes' | 'write'>;
  /** Names the layer in errors. */
  readonly label: string;
  /** Hears of each entry; the body of a file with extended attributes is written by then, without them. */
  readonly onEntry: (entry: TocEntry) => void;
  /** Hears of an attribute that is not kept. */
  readonly onDropped: (name: string) => void;
};

/** A tar on its way into the store, chunk by chunk. After a failure every call throws it again. */
export type Extraction = {
  /** Resolves when the chunk is taken. @throws ArtifactError `unmountable` naming the entry; `exhausted`. */
  write(chunk: Buffer): Promise<void>;
  /** @throws ArtifactError `unmountable` for a tar that ends too early. */
  end(): Promise<void>;
};

/** Latin1 keeps the bytes of names. The sums of headers are checked whatever the format; old ones have no magic. */
const tarOptions = { filenameEncoding: 'latin1', allowUnknownFormat: true, highWaterMark: 16 * 1024 };

/** Reads a tar by tar-stream's events: iteration over it, and a promise for each body, would take twice the time. */
export function createExtraction(options: ExtractionOptions): Extraction {
  const { into, small, label, onEntry, onDropped } = options;
  const tar = extract(tarOptions);
  const heads = createHeadReader(options, onDropped);
  let state: 'open' | 'ended' | ArtifactError = 'open';
  let lastEntry: string | undefined;
  let bodies = 0;
  let openedBody: Body | undefined;
  let wake = (): void => {};

  function stop(how: 'ended' | ArtifactError): void {
    if (state !== 'open') return;
    state = how;
    openedBody?.abandon();
    tar.destroy();
  }

  function malformed(why: string): ArtifactError {
    const text =
      lastEntry === undefined
        ? `${label} claims to be a tar and is none: ${why}; push it again, or mount it with unpack: never`
        : `${label} is a damaged tar: ${why}, after the entry ${quoteName(lastEntry)}`;
    return new ArtifactError('unmountable', text);
  }

  /** Nothing may be thrown into tar-stream. */
  function attempt(work: () => void): void {
    try {
      if (state === 'open') work();
    } catch (error) {
      stop(toArtifactError(error));
    }
  }

  function readHead(header: TarHeader, headerAt: number): EntryHead | undefined {
    try {
      const head = heads.read(header, headerAt);
      lastEntry = head?.path;
      return head;
    } catch (error) {
      const name = header.pax ? header.name : decodeName(Buffer.from(header.name, 'latin1'));
      const text = `${label}, entry ${quoteName(name)}: ${messageOf(error)}`;
      throw new ArtifactError('unmountable', text, error);
    }
  }

  /** Takes the chunks of a body; true when it is complete. A body that comes in one chunk is written as a whole. */
  function bodyTaker(head: FileHead): (chunk: Uint8Array) => boolean {
    const body = bodies++;
    if (body % bodiesPerFolder === 0) mkdirSync(join(into, bodyFolder(body)), 0o700);
    const path = join(into, bodyName(body));
    let left = head.size;
    return chunk => {
      left -= chunk.length;
      if (chunk.length === head.size) {
        if (small.takes(head, head.size)) small.write(body, head, chunk);
        else writeBody(path, head, chunk);
        onEntry({ ...head, body, sha256: hash('sha256', chunk, 'hex') });
        return true;
      }
      openedBody ??= openBody(path, head);
      openedBody.write(chunk);
      if (left > 0) return false;
      const whole = openedBody;
      openedBody = undefined;
      onEntry({ ...head, body, sha256: whole.finish() });
      return true;
    };
  }

  tar.on('entry', (header, content, next) => {
    attempt(() => {
      const head = readHead(header, content.offset);
      if (head === undefined) {
        stop('ended');
      } else if (head.kind === 'file' && head.size > 0) {
        const take = bodyTaker(head);
        content.on('data', chunk => attempt(() => take(chunk as Uint8Array) && next()));
        // It fails when the tar does, which tells of it.
        content.on('error', () => {});
      } else {
        if (head.kind === 'file') bodyTaker(head)(new Uint8Array(0));
        else onEntry(head);
        // Not at once: a chunk of nothing but such entries would fill the stack.
        queueMicrotask(() => next());
      }
    });
  });
  tar.on('error', error => stop(heads.isEnd() ? 'ended' : malformed(reasonOf(error))));
  tar.on('drain', () => wake());
  tar.on('close', () => wake());

  /** Waits until tar-stream has taken what it was given, or has stopped. */
  async function settle(isTaken: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    wake = resolve;
    if (state === 'open' && !isTaken()) await promise;
    if (state instanceof ArtifactError) throw state;
  }

  return {
    async write(chunk) {
      if (state === 'open' && heads.isEnd()) stop('ended');
      if (state === 'ended') return;
      try {
        heads.push(chunk);
      } catch (error) {
        stop(malformed(messageOf(error)));
      }
      await settle(() => tar.write(chunk));
    },
    async end() {
      if (state === 'ended') return;
      await settle(() => {
        tar.end(null);
        return false;
      });
      if (state === 'open' && heads.hasRest()) throw malformed('it ends within the headers of an entry');
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** tar-stream speaks to programmers. */
function reasonOf({ message }: Error): string {
  return reasons.find(([start]) => message.startsWith(start))?.[1] ?? message;
}

const reasons = [
  ['Unexpected end', 'it ends too early'],
  ['Invalid tar header', 'the checksum of a header is wrong'],
  ['Invalid header', 'a header has a size that is none'],
  ['Header exceeds max size', 'a PAX header or long name has more than 4 MiB'],
] as const;

import { hash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { bodiesPerDirectory, bodyDirectory, bodyName } from '../tree/layer-files.ts';
import type { TocEntry } from '../tree/toc.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { type Body, openBody, writeBody } from './body.ts';
import { smallBody } from './body-batch.ts';
import type { BodyWriter } from './body-writer.ts';
import { type BodyHead, createHeadReader, type HeadLimits, MalformedEntry } from './header-reader.ts';
import { paddingOf } from './headers.ts';
import { createLookahead } from './lookahead.ts';
import type { SparseMap } from './sparse.ts';

export type ExtractionOptions = HeadLimits & {
  /** The directory for bodies, each under its number. Paths of the tar are never used as paths. */
  readonly into: string;
  /** For small bodies. The caller finishes it. */
  readonly small: Pick<BodyWriter, 'takes' | 'write'>;
  /** Names the layer in errors. */
  readonly label: string;
  readonly onEntry: (entry: TocEntry) => void;
  /** Called with an attribute that is not kept. */
  readonly onDropped: (name: string) => void;
};

/**
 * A tar that is being extracted into the store, chunk by chunk. It cannot be used after a failure. Disposing it closes
 * open files.
 */
export type Extraction = Disposable & {
  /** @throws ArtifactError `unmountable` naming the entry; errors of the filesystem. */
  write(chunk: Buffer): void;
  /** @throws likewise, also for a tar that ends too early. */
  end(): void;
};

/** Bytes after the end of a tar are ignored. */
export function createExtraction(options: ExtractionOptions): Extraction {
  const { into, small, label, onEntry, onDropped } = options;
  const lookahead = createLookahead();
  const readHead = createHeadReader(lookahead, options, onDropped);
  let lastEntry: string | undefined;
  let bodies = 0;

  function* extract(): Generator<void, void> {
    for (let head = yield* readHead(); head !== undefined; head = yield* readHead()) {
      lastEntry = head.entry.path;
      if (!('data' in head)) onEntry(head.entry);
      else {
        yield* extractBody(head, bodies++);
        yield* lookahead.take(paddingOf(head.data));
      }
    }
  }

  function* extractBody(head: BodyHead, body: number): Generator<void, void> {
    const { entry, data, map } = head;
    if (body % bodiesPerDirectory === 0) mkdirSync(join(into, bodyDirectory(body)), 0o700);
    const path = join(into, bodyName(body));
    if (data <= smallBody && map === undefined) {
      const bytes = yield* lookahead.take(data);
      if (bytes.length < data) throw new Error('it ends too early');
      if (small.takes(entry, data)) small.write(body, entry, bytes);
      else writeBody(path, entry, bytes);
      return onEntry({ ...entry, body, sha256: hash('sha256', bytes, 'hex') });
    }
    const open = openBody(path, entry);
    let sha256: string | undefined;
    try {
      yield* copyData(open, map ?? [{ offset: 0, length: data }], entry.size);
      sha256 = open.finish();
    } finally {
      if (sha256 === undefined) open.abandon();
    }
    onEntry({ ...entry, body, sha256 });
  }

  function* copyData(open: Body, map: SparseMap, size: number): Generator<void, void> {
    let end = 0;
    for (const { offset, length } of map) {
      open.skip(offset - end);
      for (let left = length; left > 0; ) {
        const some = yield* lookahead.takeSome(left);
        if (some.length === 0) throw new Error('it ends too early');
        open.write(some);
        left -= some.length;
      }
      end = offset + length;
    }
    open.skip(size - end);
  }

  const work = extract();
  let isOver = false;

  function advance(): void {
    try {
      if (work.next().done === true) isOver = true;
    } catch (thrown) {
      isOver = true;
      throw toFailure(thrown);
    }
  }

  function toFailure(thrown: unknown): unknown {
    if (thrown instanceof MalformedEntry)
      return new ArtifactError('unmountable', `${label}, ${thrown.message}`, thrown);
    // Neither an error of the filesystem nor a bug.
    if (!(thrown instanceof Error) || thrown.constructor !== Error || errnoOf(thrown) !== undefined)
      return thrown;
    const text =
      lastEntry === undefined
        ? `${label} claims to be a tar and is none: ${thrown.message}; push it again, or mount it with unpack: never`
        : `${label} is a damaged tar: ${thrown.message}, after the entry ${quoteName(lastEntry)}`;
    return new ArtifactError('unmountable', text, thrown);
  }

  return {
    write(chunk) {
      if (isOver) return;
      lookahead.push(chunk);
      advance();
    },
    end() {
      lookahead.end();
      if (!isOver) advance();
    },
    [Symbol.dispose]() {
      work.return();
    },
  };
}

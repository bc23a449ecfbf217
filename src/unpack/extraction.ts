import type { TocEntry } from '../tree/toc.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import type { BodyStore } from './body-store.ts';
import { createHeadReader, type HeadLimits, MalformedEntry } from './header-reader.ts';
import { paddingOf } from './headers.ts';
import { createLookahead } from './lookahead.ts';

export type ExtractionOptions = HeadLimits & {
  /** For the bodies. The caller finishes it. */
  readonly bodies: Pick<BodyStore, 'take'>;
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
  const { bodies, label, onEntry, onDropped } = options;
  const lookahead = createLookahead();
  const readHead = createHeadReader(lookahead, options, onDropped);
  let lastEntry: string | undefined;

  function* extract(): Generator<void, void> {
    for (let head = yield* readHead(); head !== undefined; head = yield* readHead()) {
      lastEntry = head.entry.path;
      if (!('data' in head)) onEntry(head.entry);
      else {
        const { body, sha256 } = yield* bodies.take(head, lookahead);
        onEntry({ ...head.entry, body, sha256 });
        const padding = paddingOf(head.data);
        if (!lookahead.skipNow(padding)) yield* lookahead.skip(padding);
      }
    }
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

import type { Program } from '../tools/table.ts';
import type { Usage } from './cost.ts';
import type { Row } from './rows.ts';
import type { Pushed, Source } from './source.ts';

/** Something that pulls artifacts. A floor does only a part of the work, and shows what no client can be faster than. */
export type Contender = {
  readonly name: string;
  readonly kind: 'ours' | 'rival' | 'floor';
  readonly version: () => string;
  /** What it makes of an artifact: 'files', or 'an OCI layout'. */
  readonly makes: string;
  readonly programs: readonly Program[];
  readonly takes: (row: Row) => boolean;
  /** Starts what runs all the time. */
  readonly open: (place: Place) => Promise<Running>;
};

/** Where a contender works. */
export type Place = {
  /** A directory on a filesystem of its own. */
  readonly path: string;
  readonly source: Source;
  readonly row: Row;
  readonly tags: readonly Pushed[];
  /** Words before the programs that it runs. */
  readonly prefix: readonly string[];
};

export type Running = AsyncDisposable & {
  /** The processes that run all the time. */
  readonly pids: readonly number[];
  /** Pulls a tag; the tags come in their order. */
  readonly pull: (tag: Pushed) => Promise<Pulled>;
};

/** `usage`: of the programs that ran for it. `content`: what must be there now, and where. */
export type Pulled = { readonly usage: Usage; readonly content?: Content };
export type Content = { readonly directory: string; readonly files: number; readonly bytes: number };

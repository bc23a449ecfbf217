/** A volume with one late file in a directory. */
export type Shape = {
  readonly directory: string;
  readonly size: number;
  readonly chunkSize: number;
  readonly blockSize: number;
  readonly isDirect: boolean;
  readonly timeoutSeconds: number;
};

/** What the server does when missing bytes are read. `lie`: it says that they are there. */
export type Policy =
  | { readonly kind: 'wait' }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'lie' }
  | { readonly kind: 'arrive'; readonly delayMs: number; readonly refusedShare: number };

export type Command =
  | { readonly kind: 'policy'; readonly policy: Policy }
  | { readonly kind: 'arrive'; readonly chunks: readonly number[] }
  | { readonly kind: 'state' | 'end landing' | 'end landings' | 'unmount' }
  | { readonly kind: 'leave'; readonly how: 'exit' | 'throw' | 'return' };

export type Numbered = { readonly number: number; readonly command: Command };

export type ServerState = {
  /** The reads of missing bytes, how many of them were refused at random, and how many wait. */
  readonly reads: number;
  readonly refused: number;
  readonly waiting: number;
  /** Files that reads were given, and that are not disposed of. */
  readonly open: number;
  /** Chunks. */
  readonly present: number;
  readonly failure: string | undefined;
};

/** The messages of the server: the number of its FUSE connection, and then an answer to each command. */
export type Served =
  | { readonly kind: 'serves'; readonly connection: number }
  | { readonly kind: 'done'; readonly number: number; readonly state: ServerState };

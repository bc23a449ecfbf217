/** How far a volume is loaded that was mounted before all of it was here. */
export type LateStatus = {
  readonly bytes: number;
  readonly totalBytes: number;
  /** Average over the last ten seconds. */
  readonly bytesPerSecond: number;
  /** Reads that wait for bytes. */
  readonly waitingReads: number;
  /** Why reads of missing bytes fail, or nothing comes. */
  readonly problem?: string;
  /** A chunk list lied, as `problem` says: what was read may be wrong, and nothing is tried again. */
  readonly lied?: true;
  /** `pull --cancel` stopped it: only what is read comes, which is no problem. */
  readonly stopped?: true;
};

/** All volumes that are loaded on demand, for metrics. */
export type LateSummary = {
  readonly loading: number;
  /** Of which some content fails. */
  readonly stalled: number;
  readonly complete: number;
  readonly missingBytes: number;
  /** Reads that wait for bytes now. */
  readonly waitingReads: number;
  /** Since the start. */
  readonly failedReads: number;
  readonly support: LateSupport;
  /** What lets reads wait while no daemon runs; undefined if there is none. `problem`: why it does not. */
  readonly holder?: { readonly problem: string | undefined };
};

/** Whether volumes that ask for it are loaded on demand, or fully. It is tried for the first of them. */
export type LateSupport =
  | { readonly kind: 'untried' | 'on' }
  | { readonly kind: 'off'; readonly reason: string };

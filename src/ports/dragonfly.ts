/** A blob for dfdaemon to download, from its peers or from its registry. */
export type BlobTask = {
  readonly url: string;
  /** Sent to the registry, and known to Dragonfly's scheduler and peers. */
  readonly headers: Readonly<Record<string, string>>;
  /** A path that does not exist, on the filesystem and mount of dfdaemon's storage. */
  readonly path: string;
  /** Milliseconds that dfdaemon may send nothing. */
  readonly silenceMs: number;
};

/** The size of the blob in bytes, once and first; then each piece that is in the file, in any order. */
export type TaskNews =
  | { readonly kind: 'size'; readonly bytes: number }
  | { readonly kind: 'piece'; readonly offset: number; readonly length: number };

/** dfdaemon of Dragonfly on this node, by its socket. */
export type Dfdaemon = {
  /**
   * Has dfdaemon download a blob. When the size is known, its file is linked at the path of the task; all of it is there
   * when this ends. dfdaemon can write to that file at any time.
   *
   * @throws ArtifactError `not-found`, `unauthenticated` or `denied` as the registry answered dfdaemon; `unavailable`;
   *   `cancelled`.
   */
  download(task: BlobTask, signal: AbortSignal): AsyncIterable<TaskNews>;
};

import type { OpenFile } from './late-views.ts';
import type { ViewImage } from './store.ts';

/** A file that an image shows, and whose bytes come later. */
export type LandingFile = {
  readonly size: number;
  /**
   * Called for each read of bytes that are missing, and possibly of some that have just become present. Returns a file
   * that has them at the same offset, which the caller disposes of. If it rejects, the reader gets EIO.
   */
  bring(offset: number, length: number): Promise<OpenFile>;
};

/**
 * The device of an image from which missing bytes are read: a path for this process. Disposing of it answers all reads,
 * waiting and later ones, with EIO.
 */
export type Landing = Disposable & { readonly path: string };

/**
 * The landings of all images. They end with this process at the latest, and then a read of missing bytes gives EIO at
 * once. Bytes that are present do not need them.
 *
 * The kernel waits for this process when it opens or reads a landing. So nothing may read an image here, or open a
 * landing in the main thread, or release the last reference to a mount of an image in it.
 */
export type Landings = AsyncDisposable & {
  /** @param key the same in each process that serves it. @throws Error if there is a landing with it. */
  add(file: LandingFile, key: string): Landing;
  /** Why missing bytes can no longer be read; undefined while they can. */
  failure(): string | undefined;
  /** Leaves reads that wait to the next process, if the holder keeps these landings: the end of one fails none. */
  leave(): void;
};

/** Landings of a node that was tried. */
export type TriedLandings = Landings & {
  /**
   * Whether this kernel keeps the maps of a mounted image in a cache that no write to the image changes: it must be made
   * to read them again.
   */
  readonly keepsMaps: boolean;
};

/** The mounts of the images of late views. */
export type LateMounts = {
  /**
   * Mounts the image of a late view and keeps it, although no volume shows it, until this is disposed: that ends the
   * landings of its devices first, and then unmounts it. The last unmount waits for reads of missing bytes. If this
   * process were killed while they wait for it, it could not end, because only its end would answer them.
   *
   * Both work in a thread: the kernel opens the landings. It is held by a descriptor, too, so that no other unmount of
   * it is the last one, even if somebody unmounts it by hand.
   *
   * @throws `denied`; `internal`.
   */
  keep(image: ViewImage, landings: readonly Landing[]): Promise<AsyncDisposable>;
  /** The same for an image that an earlier process has mounted. Nothing else may unmount any image before. */
  keepMounted(image: ViewImage, landings: readonly Landing[]): AsyncDisposable;
};

import type { Descriptor } from '../oci/descriptor.ts';
import type { Platform } from '../oci/platform.ts';
import type { DirectoryNode } from '../tree/tree.ts';
import type { ViewImage, ViewRecord } from './store.ts';

/**
 * A view that is mounted while its large layers still come: an image over files of its own. The file of a layer is also
 * that of its download, and so of its blob. What has not come is read from a landing, which waits or fails.
 */
export type LateView = {
  /** The key of the view of the image; another one for each late view. */
  readonly key: string;
  /** The key of the view that all of its content makes, which later volumes show. */
  readonly complete: string;
  /** The large layers. */
  readonly layers: readonly LateLayer[];
  /** For which platform it was selected; undefined: that of the node. */
  readonly platform?: Platform | undefined;
  /** Whether the image shows the bytes of a layer. */
  isShown(layer: number): boolean;
  /**
   * Makes the next download of a layer write to its file, and takes room on the disk for all of its bytes. @throws
   * `exhausted`.
   */
  prepare(layer: number): Promise<void>;
  /** Shows the bytes of a layer that is in the cache. */
  show(layer: number): Promise<void>;
  /** Opens the file that has them. */
  open(layer: number): OpenFile;
};

/** A file that is open for reading until this is disposed. */
export type OpenFile = Disposable & { readonly fd: number };

export type LateLayer = Pick<Descriptor, 'digest' | 'size'>;

export type LateViewPlan = Pick<LateView, 'key' | 'layers' | 'platform'> & {
  /** That of the complete view. */
  readonly record: ViewRecord;
  readonly tree: DirectoryNode;
  /** Where the layers are downloaded from. */
  readonly source: string;
  /** Returns the landing of a layer. */
  readonly landingOf: (layer: number) => string;
};

/** Late views of this boot: no mount outlives it. */
export type LateViews = {
  /**
   * Makes a late view, with a view for its image, and takes room for all of it. @returns its image, which only a mount
   * in another thread may use; undefined if it cannot be an image.
   *
   * @throws `exhausted`.
   */
  create(
    plan: LateViewPlan,
    signal: AbortSignal,
  ): Promise<{ readonly view: LateView; readonly image: ViewImage } | undefined>;
  find(key: string): Promise<LateView | undefined>;
  /** The keys of those there are, and of incomplete ones. Opens none. */
  keys(): Promise<readonly string[]>;
  /** Removes it, and its view. Its mounts stay. */
  remove(key: string): Promise<void>;
};

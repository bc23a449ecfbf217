import type { Digest } from '../oci/digest.ts';
import type { Item } from './store.ts';

/** What the cache stores under a name: an item, or a view. */
export type Stored = Item | { readonly kind: 'views'; readonly key: string };

/** What a power cut takes: content is mounted before the disk has it. */
export type Durability = {
  /**
   * Waits until a power cut takes neither the content with these digests nor the view with this key.
   *
   * @throws why one of them could not be written; the signal's reason.
   */
  settle(digests: readonly Digest[], key: string, signal: AbortSignal): Promise<void>;
  /** Whether a power cut may take the blob with this digest. */
  isPending(digest: Digest): boolean;
  /**
   * Calls back with what could not be written, however it is used, to remove it. If that fails, the next boot does it.
   */
  follow(onLost: (lost: readonly Stored[], problem: string) => Promise<void>): void;
};

import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/reference.ts';
import { matchesReference } from '../../oci/reference-glob.ts';
import type { Durability } from '../../ports/durability.ts';
import type { SharedContent, SharedImage, ShareRule, Sharing } from '../../ports/sharing.ts';
import type { Blobs, Evidence } from '../../ports/store.ts';
import { startPace } from '../../util/pace.ts';
import type { AccessCheck } from '../access/access-check.ts';
import type { SignatureCheck } from '../access/signature-check.ts';
import type { IndexedName, NameIndex } from './name-index.ts';

/** Names by which content is labelled: many artifacts have the same config. */
const mostNamed = 16;

/**
 * Decides what of the cache others may read, at each question, by what is known then.
 *
 * A name is shown if a glob lists it, or if its registry served its repository and its manifest without a credential.
 * Content is shown if a shown name reaches it: all of a listed name, and of another one what a registry has shown to
 * anyone itself, because a manifest can list any digest and a mirror can serve any. A name that the signature policy
 * refuses shows nothing. Everything is shown only while it is complete, unchanged since it was verified, and durable.
 */
export function createSharedCache(
  world: {
    readonly index: NameIndex;
    readonly blobs: Pick<Blobs, 'size' | 'path'>;
    readonly evidence: Pick<Evidence, 'states'>;
    readonly durability: Pick<Durability, 'isPending'>;
    readonly access: Pick<AccessCheck, 'isOpen' | 'isPublic'>;
    readonly signatures: Pick<SignatureCheck, 'evaluate'>;
  },
  rule: ShareRule,
): Omit<Sharing, 'follow'> {
  const { index, blobs, evidence, durability, access, signatures } = world;

  const isListed = ({ parsed }: IndexedName): boolean => matchesReference(rule.globs, parsed);

  const isShown = async (name: IndexedName): Promise<boolean> => {
    const { reference, descriptor, parsed } = name;
    const isOpen = rule.isPublic && access.isOpen(parsed) && access.isPublic(descriptor.digest);
    if (!isOpen && !isListed(name)) return false;
    // Signatures that cannot be evaluated are none.
    const verdict = await signatures.evaluate(reference, descriptor.digest).catch(() => undefined);
    return verdict?.kind === 'accepted';
  };

  /** The size of a blob that may be served; undefined for any other. */
  const sizeOf = async (digest: Digest, signal: AbortSignal): Promise<number | undefined> => {
    const size = await blobs.size(digest);
    if (size === undefined || durability.isPending(digest)) return undefined;
    const [state] = await evidence.states([{ kind: 'blobs', digest }], 0, signal);
    return state === 'verified' || state === 'stale' ? size : undefined;
  };

  const toImage = async (name: IndexedName, signal: AbortSignal): Promise<SharedImage | undefined> => {
    const { reference, descriptor, resolvedAt } = name;
    if ((await sizeOf(descriptor.digest, signal)) === undefined || !(await isShown(name))) return undefined;
    return { reference, target: descriptor, since: resolvedAt };
  };

  const content = async (digest: Digest, signal: AbortSignal): Promise<SharedContent | undefined> => {
    const repositories: Repository[] = [];
    let since = Infinity;
    const isPublic = access.isPublic(digest);
    for (const name of index.reaching(digest)) {
      if (repositories.length === mostNamed) break;
      if (!(isPublic || isListed(name)) || !(await isShown(name))) continue;
      repositories.push(name.parsed);
      since = Math.min(since, name.resolvedAt);
    }
    const size = repositories.length === 0 ? undefined : await sizeOf(digest, signal);
    return size === undefined ? undefined : { digest, size, since, path: blobs.path(digest), repositories };
  };

  return {
    async images(signal) {
      const images: SharedImage[] = [];
      const pace = startPace(signal);
      for (const name of index.names()) {
        const image = await toImage(name, signal);
        if (image !== undefined) images.push(image);
        await pace();
      }
      return images;
    },
    async image(reference) {
      const name = index.find(reference);
      return name && (await toImage(name, new AbortController().signal));
    },
    async *contents(signal) {
      const pace = startPace(signal);
      for (const digest of index.digests()) {
        const shared = await content(digest, signal);
        if (shared !== undefined) yield shared;
        await pace();
      }
    },
    content,
  };
}

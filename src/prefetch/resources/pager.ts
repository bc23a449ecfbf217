import type { KubeObjects, KubePage, KubePath } from '../../ports/kube-objects.ts';
import { ArtifactError } from '../../util/error.ts';
import type { RequestTurn } from '../../util/request-pace.ts';

/**
 * Lists a kind in parts, one request each, and answers the version of the list.
 *
 * @param onPart answers whether the rest is wanted. @param without the namespaces that are left out. @throws as
 *   KubeObjects.
 */
export type Pager = (
  path: KubePath,
  onPart: (part: KubePage) => boolean | Promise<boolean>,
  signal: AbortSignal,
  without?: readonly string[],
) => Promise<string>;

/** @param most objects of a part. Fewer after a part that was too long, and twice as many after one that was not. */
export function createPager(objects: Pick<KubeObjects, 'page'>, turn: RequestTurn, most: number): Pager {
  let limit = most;

  /** Answers undefined for a part that is too long, and may be asked for again as a smaller one. */
  const read = async (
    path: KubePath,
    next: string | undefined,
    without: readonly string[],
    signal: AbortSignal,
  ): Promise<KubePage | undefined> => {
    await turn(signal);
    try {
      const page = await objects.page(path, { limit, next, without }, signal);
      limit = Math.min(most, 2 * limit);
      return page;
    } catch (thrown) {
      if (!(thrown instanceof ArtifactError && thrown.code === 'exhausted') || limit === 1) throw thrown;
      limit = Math.ceil(limit / 4);
      return undefined;
    }
  };

  return async (path, onPart, signal, without = []) => {
    let version: string | undefined;
    let next: string | undefined;
    for (;;) {
      const part = await read(path, next, without, signal);
      if (part === undefined) continue;
      version ??= part.version;
      if (!(await onPart(part)) || part.next === undefined) return version;
      next = part.next;
    }
  };
}

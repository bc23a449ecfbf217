import type { KubeObjects, KubePath } from '../../ports/kube-objects.ts';
import { ArtifactError } from '../../util/error.ts';
import type { RequestTurn } from '../../util/request-pace.ts';

/** Lists a kind in parts, one request each, and answers the version of the list. @throws as KubeObjects. */
export type Pager = (
  path: KubePath,
  onObject: (object: unknown) => void,
  signal: AbortSignal,
) => Promise<string>;

/** @param most objects of a part at first. Fewer after a part that was too long. */
export function createPager(objects: Pick<KubeObjects, 'page'>, turn: RequestTurn, most: number): Pager {
  let limit = most;
  return async (path, onObject, signal) => {
    let version: string | undefined;
    for (let next: string | undefined; version === undefined || next !== undefined; ) {
      await turn(signal);
      const page = await objects.page(path, { limit, next }, signal).catch((thrown: unknown) => {
        if (thrown instanceof ArtifactError && thrown.code === 'exhausted') limit = Math.ceil(limit / 4);
        throw thrown;
      });
      for (const object of page.items) onObject(object);
      version ??= page.version;
      next = page.next;
    }
    return version;
  };
}

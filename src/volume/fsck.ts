import type { Digest } from '../oci/digest.ts';
import { toArtifactError } from '../util/error.ts';
import type { Mounter } from './contracts/mounter.ts';
import type { VolumeRecords } from './contracts/records.ts';
import type { Blobs, Layers, Views } from './contracts/store.ts';
import type { Finding, Progress } from './usecases.ts';

/**
 * Hashes every blob and unpacked layer again, counts the views, and reports what is wrong or cannot be read. With
 * `repair`, what is wrong is dropped together with the views made of it, so that the next publish pulls it anew; except
 * what a mounted volume shows, for that would take the files from under a running pod.
 */
export async function checkCache(
  world: {
    readonly blobs: Blobs;
    readonly layers: Layers;
    readonly views: Views;
    readonly volumes: VolumeRecords;
    readonly mounter: Mounter;
  },
  repair: boolean,
  onFinding: (finding: Finding) => void,
  onProgress: (progress: Pick<Progress, 'bytes' | 'totalBytes'>) => void,
  signal: AbortSignal,
): Promise<{ readonly checked: number }> {
  const { blobs, layers, views, volumes, mounter } = world;

  /** Drops views, and then what they were made of. Returns why not, or undefined. */
  const drop = async (
    keys: ReadonlySet<string>,
    more: () => Promise<void> = async () => {},
  ): Promise<string | undefined> => {
    for (const record of await volumes.list()) {
      const view = keys.has(record.view) ? await views.find(record.view) : undefined;
      if (view === undefined) continue;
      const state = await mounter.state({ path: record.targetPath, anywhere: record.anywhere }, view.path);
      if (state.kind === 'mounted')
        return `${record.targetPath} shows it: delete that pod, then repair again`;
    }
    for (const key of keys) await views.remove(key);
    await more();
    return undefined;
  };

  /** Whether it is right. */
  const judge = async (
    path: string,
    check: Promise<string | undefined>,
    mend: () => Promise<string | undefined>,
  ): Promise<boolean> => {
    const problem = await check.catch((thrown: unknown) => {
      signal.throwIfAborted();
      return toArtifactError(thrown).message;
    });
    if (problem === undefined) return true;
    const kept = repair ? await mend() : undefined;
    onFinding({
      path,
      problem: kept === undefined ? problem : `${problem}; not dropped, ${kept}`,
      repaired: repair && kept === undefined,
    });
    return false;
  };

  const judgeItem = (kind: 'blobs' | 'layers', digest: Digest): Promise<boolean> =>
    judge(world[kind].path(digest), world[kind].check(digest, signal), async () => {
      const made = (await views.list()).filter(view => view[kind].includes(digest));
      return drop(new Set(made.map(view => view.key)), () => world[kind].remove(digest));
    });

  const work = [
    ...(await blobs.list()).map(held => ['blobs', held] as const),
    ...(await layers.list()).map(held => ['layers', held] as const),
  ];
  const totalBytes = work.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  const wrong = new Set<Digest>();
  let checked = 0;
  for (const [kind, { digest, bytes }] of work) {
    signal.throwIfAborted();
    onProgress({ bytes: checked, totalBytes });
    if (!(await judgeItem(kind, digest))) wrong.add(digest);
    checked += bytes;
  }
  onProgress({ bytes: checked, totalBytes });
  const trees = await views.list();
  for (const { key, path, blobs: files, layers: unpacked } of trees) {
    if ([...files, ...unpacked].some(digest => wrong.has(digest))) continue; // its bytes are the ones that were found
    await judge(path, views.check(key, signal), () => drop(new Set([key])));
  }
  return { checked: work.length + trees.length };
}

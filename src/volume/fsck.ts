import type { Digest } from '../oci/digest.ts';
import type { Mounter } from './contracts/mounter.ts';
import type { VolumeRecords } from './contracts/records.ts';
import type { Blobs, Layers, Views } from './contracts/store.ts';
import type { Finding, Progress } from './usecases.ts';

/**
 * Hashes every blob and unpacked layer again and reports what is wrong. With `repair`, what is wrong is dropped
 * together with the views made of it, so that the next publish pulls it anew; except what a mounted volume shows, for
 * that would take the files from under a running pod.
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

  /** Drops an item with its views. Returns why not, or undefined. */
  const drop = async (kind: 'blobs' | 'layers', digest: Digest): Promise<string | undefined> => {
    const made = (await views.list()).filter(view => view[kind].includes(digest));
    const keys = new Set(made.map(view => view.key));
    for (const record of await volumes.list()) {
      const view = keys.has(record.view) ? await views.find(record.view) : undefined;
      if (view === undefined) continue;
      const state = await mounter.state({ path: record.targetPath, anywhere: record.anywhere }, view.path);
      if (state.kind === 'mounted')
        return `${record.targetPath} shows it: delete that pod, then repair again`;
    }
    for (const key of keys) await views.remove(key);
    await world[kind].remove(digest);
    return undefined;
  };

  const judge = async (kind: 'blobs' | 'layers', digest: Digest): Promise<void> => {
    const problem = await world[kind].check(digest, signal);
    if (problem === undefined) return;
    const path = world[kind].path(digest);
    const kept = repair ? await drop(kind, digest) : undefined;
    onFinding({
      path,
      problem: kept === undefined ? problem : `${problem}; not dropped, ${kept}`,
      repaired: repair && kept === undefined,
    });
  };

  const work = [
    ...(await blobs.list()).map(held => ['blobs', held] as const),
    ...(await layers.list()).map(held => ['layers', held] as const),
  ];
  const totalBytes = work.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  let checked = 0;
  for (const [kind, { digest, bytes }] of work) {
    signal.throwIfAborted();
    onProgress({ bytes: checked, totalBytes });
    await judge(kind, digest);
    checked += bytes;
  }
  onProgress({ bytes: checked, totalBytes });
  return { checked: work.length };
}

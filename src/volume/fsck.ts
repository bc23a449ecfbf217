import type { Digest } from '../oci/digest.ts';
import type { Mounter } from './contracts/mounter.ts';
import type { VolumeRecords } from './contracts/records.ts';
import type { Blobs, Layers, Views } from './contracts/store.ts';
import type { Finding } from './usecases.ts';

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
    ...(await blobs.list()).map(({ digest }) => ['blobs', digest] as const),
    ...(await layers.list()).map(({ digest }) => ['layers', digest] as const),
  ];
  for (const [kind, digest] of work) {
    signal.throwIfAborted();
    await judge(kind, digest);
  }
  return { checked: work.length };
}

import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TemporaryDirectory, temporaryDirectory } from '../os/temporary.ts';

/**
 * A node's directories below a temporary one: kubelet's with one pod's volume, and the state directory with one view.
 */
export type KubeletDirectory = TemporaryDirectory & {
  readonly kubeletDir: string;
  readonly views: string;
  /** A view that contains `model.txt`. */
  readonly view: string;
  /** The target path of the volume: its parent exists, it does not. */
  readonly target: { readonly path: string; readonly anywhere: false };
};

export async function kubeletDirectory(): Promise<KubeletDirectory> {
  const directory = await temporaryDirectory();
  const path = realpathSync(directory.path);
  const views = join(path, 'state/views');
  const view = join(views, 'view');
  const volume = join(path, 'kubelet/pods/uid/volumes/kubernetes.io~csi/model');
  mkdirSync(view, { recursive: true });
  mkdirSync(volume, { recursive: true });
  writeFileSync(join(view, 'model.txt'), 'weights');
  return {
    path,
    kubeletDir: join(path, 'kubelet'),
    views,
    view,
    target: { path: join(volume, 'mount'), anywhere: false },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

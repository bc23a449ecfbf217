import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { TestNode } from './daemon.ts';

/** Where a daemon mounts the images of its node. */
export function imagesOf({ kubeletDir }: Pick<TestNode, 'kubeletDir'>): string {
  return join(kubeletDir, 'plugins/oci-artifact.csi.internal-views');
}

/** Returns the directories in it, one for each mounted image. */
export function listImages(node: Pick<TestNode, 'kubeletDir'>): readonly string[] {
  const directory = imagesOf(node);
  return existsSync(directory) ? readdirSync(directory).map(name => join(directory, name)) : [];
}

/** Returns the mount of the image that a target shows; undefined if it shows a tree. */
export function imageShownAt(node: Pick<TestNode, 'kubeletDir'>, target: string): string | undefined {
  const { dev } = statSync(target);
  return listImages(node).find(image => statSync(image).dev === dev);
}

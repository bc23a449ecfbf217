import type { ImageMounts } from '../../../src/ports/mounter.ts';

/** The mounts of images of a node whose views are trees. */
export const noImages: ImageMounts = {
  shown: ({ path }) => path,
  raise() {},
  tidy: () => [],
};

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChunkMap } from '../../../src/erofs/chunk-map.ts';
import { writeImage } from '../../../src/erofs/image.ts';
import { planImage } from '../../../src/erofs/image-plan.ts';
import { chunkMapsOf, type DeviceRole, layOutLateFiles } from '../../../src/erofs/late-files.ts';
import { toDigest } from '../../../src/oci/digest.ts';
import { doAtOnce } from '../../../src/util/pace.ts';
import { directory } from '../oci/nodes.ts';
import type { Shape } from './commands.ts';

type LateImage = { readonly map: ChunkMap; readonly roles: readonly DeviceRole['kind'][] };

/** Plans the image of a directory that has one late file, `file`. */
export function planLateImage(shape: Shape): LateImage & { readonly bytes: Buffer } {
  const { size, chunkSize, blockSize } = shape;
  const layout = layOutLateFiles({ blockSize, sizes: [] }, [{ size, chunkSize }]);
  const [place] = layout?.places ?? [];
  if (layout === undefined || place === undefined) throw new Error('such a file cannot be late');
  const attributes = { mode: 0o444, uid: 0, gid: 0, mtime: 0n };
  const source = { kind: 'bodies', digest: toDigest('sha256', '5'.repeat(64)) } as const;
  const file = { kind: 'file', source, body: 0, size, attributes, layer: 'layer 0' } as const;
  const plan = doAtOnce(planImage(directory({ file }), layout.devices, () => place));
  const [map] = chunkMapsOf(plan, layout);
  if (map === undefined) throw new Error('the image lacks its file');
  const bytes = Buffer.concat(Array.from(writeImage(plan), slice => Buffer.from(slice)));
  return { map, roles: layout.roles.map(({ kind }) => kind), bytes };
}

export function writeLateImage(shape: Shape): LateImage {
  const { bytes, ...image } = planLateImage(shape);
  writeFileSync(join(shape.directory, 'image'), bytes);
  return image;
}

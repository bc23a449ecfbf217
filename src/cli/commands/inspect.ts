import { formatSize } from '../../util/size.ts';
import { operand, print, type Shell } from '../shell.ts';
import { formatDigest, formatFields, formatTable } from '../text.ts';

const header = ['LAYER', 'SIZE', 'FORM', 'HELD', 'NAME', 'MEDIA TYPE'];

/** What is known of one artifact, from the cache alone. */
export async function inspect(shell: Shell, operands: readonly string[]): Promise<void> {
  const artifact = await shell.house.artifacts.inspect(operand(operands, 0));
  const { reference, digest, manifest, kind, mediaType, artifactType, annotations } = artifact;
  print(
    shell,
    artifact,
    () =>
      formatFields([
        ['reference', reference],
        ['digest', digest],
        ['manifest', manifest],
        ['kind', kind],
        ['media type', mediaType],
        ['artifact type', artifactType || '-'],
        ['signatures', artifact.verdict],
        ['pinned', artifact.pinned ? 'yes' : 'no'],
        ['volumes', artifact.volumes.join(', ') || 'none'],
        ...Object.entries(annotations).map(([name, value]) => [`annotation ${name}`, value] as const),
      ]) +
      formatTable(
        header,
        artifact.layers.map(layer => [
          formatDigest(layer.digest),
          formatSize(layer.size),
          layer.form,
          layer.held ? 'yes' : 'no',
          layer.name || '/',
          layer.mediaType,
        ]),
      ),
  );
}

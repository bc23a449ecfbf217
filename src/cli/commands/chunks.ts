import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { chunkDigestBytes, chunksAnnotation, formatChunkList, parseChunkList } from '../../oci/chunk-list.ts';
import { toDigest } from '../../oci/digest.ts';
import { chunkListType } from '../../oci/plan.ts';
import { quoteName } from '../../util/name.ts';
import { formatSize } from '../../util/size.ts';
import { listChunks } from '../file-chunks.ts';
import { type Terminal, tell } from '../shell.ts';
import { formatLines } from '../text.ts';

/** Writes the chunk list of each file beside it, and the annotations that name the lists. Prints how to push them. */
export async function chunks(
  terminal: Terminal,
  files: readonly string[],
  annotationFile: string,
): Promise<void> {
  const signal = terminal.interrupted('end');
  const annotations: Record<string, Readonly<Record<string, string>>> = {};
  for (const file of files) {
    const list = await listChunks(file, signal);
    const document = formatChunkList(list);
    parseChunkList(document, list.blob); // what it refuses, every node would
    const path = `${file}.chunks`;
    await writeFile(path, document);
    const digest = toDigest('sha256', createHash('sha256').update(document).digest('hex'));
    annotations[file] = { [chunksAnnotation]: digest };
    const count = list.digests.length / chunkDigestBytes;
    tell(terminal, `wrote ${quoteName(path)}: ${count} chunks of ${formatSize(list.chunkSize)}`);
  }
  await writeFile(annotationFile, `${JSON.stringify(annotations, undefined, 2)}\n`);
  tell(terminal, `wrote ${quoteName(annotationFile)}; push them with this command`);
  const words = files.flatMap(file => [file, `${file}.chunks:${chunkListType}`]).map(quoteWord);
  const command = ['oras', 'push', '--annotation-file', quoteWord(annotationFile), 'REFERENCE', ...words];
  terminal.stdout.write(formatLines([command.join(' ')]));
}

/** As a word of a POSIX shell. */
function quoteWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

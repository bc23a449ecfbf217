import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import {
  type ChunkList,
  chunkDigestBytes,
  chunksAnnotation,
  formatChunkList,
  parseChunkList,
} from '../../oci/chunk-list.ts';
import { toDigest } from '../../oci/digest.ts';
import { chunkListType } from '../../oci/plan.ts';
import { invalidValue } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { formatSize } from '../../util/size.ts';
import { listChunks } from '../file-chunks.ts';
import { verifyAbsent, writeNewFiles } from '../new-files.ts';
import { type Terminal, tell } from '../shell.ts';
import { formatLines } from '../text.ts';

/** Writes the chunk list of each file beside it, and the annotations that name the lists. Prints how to push them. */
export async function chunks(
  terminal: Terminal,
  operands: readonly string[],
  annotationFile: string,
): Promise<void> {
  const names = [...new Set(operands.map(toTitle))];
  verifyWord('file of annotations', annotationFile);
  const listOf = (name: string): string => `${name}.chunks`;
  verifyAbsent([...names.map(listOf), annotationFile]);
  const signal = terminal.interrupted('end');
  const lists = new Map<string, ChunkList>();
  for (const name of names) lists.set(name, await listChunks(name, signal));

  const documents = [...lists].map(([name, list]) => ({
    name,
    path: listOf(name),
    content: toDocument(list),
  }));
  const annotations = Object.fromEntries(
    documents.map(({ name, content }) => [name, { [chunksAnnotation]: digestOf(content) }]),
  );
  const content = `${JSON.stringify(annotations, undefined, 2)}\n`;
  writeNewFiles([...documents, { path: annotationFile, content }]);

  for (const [name, { chunkSize, digests }] of lists) {
    const count = digests.length / chunkDigestBytes;
    tell(terminal, `wrote ${quoteName(listOf(name))}: ${count} chunks of ${formatSize(chunkSize)}`);
  }
  tell(terminal, `wrote ${quoteName(annotationFile)}; push them with this command`);
  const words = names.flatMap(name => [name, `${listOf(name)}:${chunkListType}`]).map(quoteWord);
  const command = ['oras', 'push', '--annotation-file', quoteWord(annotationFile), 'REFERENCE', ...words];
  terminal.stdout.write(formatLines([command.join(' ')]));
}

/** @throws what every node would throw for the list. */
function toDocument(list: ChunkList): Buffer {
  const document = formatChunkList(list);
  parseChunkList(document, list.blob);
  return document;
}

const digestOf = (bytes: Uint8Array): string =>
  toDigest('sha256', createHash('sha256').update(bytes).digest('hex'));

/** The title that `oras push` gives a file is its relative path. @throws ArtifactError `invalid`. */
function toTitle(operand: string): string {
  const title = posix.normalize(operand);
  verifyWord('file', title);
  const refuse = (why: string): Error => invalidValue('file', operand, why);
  if (title.includes(':')) throw refuse('must have no colon, after which oras reads a media type');
  if (title === '$manifest' || title === '$config')
    throw refuse('must have another name: oras reads annotations of the manifest or config there');
  if (posix.isAbsolute(title) || title === '..' || title.startsWith('../'))
    throw refuse('must be below the current directory: its relative path is the name in the volume');
  return title;
}

/** @throws ArtifactError `invalid` for what cannot be a word of the printed command. */
function verifyWord(noun: string, word: string): void {
  if (word.startsWith('-'))
    throw invalidValue(noun, word, 'must not begin with a hyphen, which makes it an option of oras');
  if (/\p{C}/u.test(word)) throw invalidValue(noun, word, 'must have no control characters');
}

/** As a word of a POSIX shell. */
function quoteWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import type { Options } from './shell.ts';

/**
 * The credentials of one command, under the keys of a Kubernetes secret: `--username` with `--password-stdin`, or
 * `--auth-file`, which the command reads so that only the caller needs access to it.
 *
 * @throws ArtifactError `invalid`.
 */
export async function toSecrets(
  options: Options,
  stdin: Readable,
): Promise<Readonly<Record<string, string>>> {
  const { username, passwordStdin, authFile } = options;
  if ((username === undefined) !== (passwordStdin === undefined)) {
    throw new ArtifactError('invalid', '--username and --password-stdin go together; give both or none');
  }
  if (typeof username === 'string') {
    const password = (await text(stdin)).replace(/\r?\n$/, '');
    if (password === '') throw new ArtifactError('invalid', '--password-stdin: no password on the input');
    return { username, password };
  }
  if (typeof authFile !== 'string' || authFile === '') return {};
  try {
    return { '.dockerconfigjson': await readFile(authFile, 'utf8') };
  } catch (error) {
    const why = errnoOf(error) === 'ENOENT' ? `${authFile} does not exist` : toArtifactError(error).message;
    throw new ArtifactError('invalid', `--auth-file: ${why}`, error);
  }
}

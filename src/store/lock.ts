import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ArtifactError } from '../util/error.ts';
import { lockFile } from '../util/libc.ts';

/**
 * Takes the state dir for this process. The lock lasts until it is disposed or the process ends, however it ends.
 * @throws `busy` saying who holds it.
 */
export async function takeLock(stateDir: string): Promise<AsyncDisposable> {
  const file = await open(join(stateDir, 'lock'), constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    if (!lockFile(file.fd)) {
      const holder = (await file.readFile('utf8')).trim() || 'another process';
      throw new ArtifactError(
        'busy',
        `${stateDir} is in use by ${holder}: ask that one over its socket (--endpoint, CSI_ENDPOINT), or stop it and try again`,
      );
    }
    await file.truncate();
    await file.write(`process ${process.pid} on ${hostname()} since ${new Date().toISOString()}\n`, 0);
    return { [Symbol.asyncDispose]: () => file.close() };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { startChild, waitUntil } from '../node/child.ts';
import { freePort } from '../os/port.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { toolPath } from '../project/tools.ts';

export type RealRegistry = AsyncDisposable & {
  /** `127.0.0.1:<port>`, or `localhost:<port>` with TLS, as in a certificate. */
  readonly host: string;
  readonly pid: number;
};

/**
 * A CNCF distribution registry on a free loopback port, plain HTTP or, with `tls` (PEM), HTTPS. `auth` is the section of
 * its configuration with that name; `clientCa` is the CA of client certificates, which it then requires. Its content is
 * in a directory of its own, which is removed when it is disposed, or in one that is given and stays. With `remote`, a
 * URL, it is a cache of that registry.
 */
export async function startRealRegistry(
  tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string },
  auth?: Readonly<Record<string, unknown>>,
  given?: string,
  remote?: string,
): Promise<RealRegistry> {
  const directory = await temporaryDirectory();
  const port = await freePort();
  const content = given ?? join(directory.path, 'content');
  await mkdir(content, { recursive: true });
  const files = { certificate: join(directory.path, 'cert.pem'), key: join(directory.path, 'key.pem') };
  if (tls) await Promise.all([writeFile(files.certificate, tls.cert), writeFile(files.key, tls.key)]);
  const clientCas = join(directory.path, 'client-ca.pem');
  if (tls?.clientCa) await writeFile(clientCas, tls.clientCa);
  const wanted = tls?.clientCa ? { clientcas: [clientCas] } : {};
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: content }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}`, ...(tls && { tls: { ...files, ...wanted } }) },
    ...(auth && { auth }),
    ...(remote && { proxy: { remoteurl: remote } }),
  };
  const file = join(directory.path, 'config.yml');
  await writeFile(file, JSON.stringify(config)); // JSON is YAML
  const child = await startChild(toolPath('registry'), ['serve', file], {
    env: { ...process.env, OTEL_TRACES_EXPORTER: 'none' },
  });
  const host = `${tls ? 'localhost' : '127.0.0.1'}:${port}`;
  const dispose = async (): Promise<void> => {
    await child[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  };
  try {
    await waitUntil(child, () => answers(`http://127.0.0.1:${port}/v2/`), 'listening');
  } catch (error) {
    await dispose();
    throw error;
  }
  return { host, pid: child.pid, [Symbol.asyncDispose]: dispose };
}

/** Any response is enough: to plain HTTP a TLS listener responds with 400. */
async function answers(url: string): Promise<boolean> {
  try {
    await (await fetch(url)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startChild, waitUntil } from '../support/node/child.ts';
import { toolPath } from '../support/project/tools.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { makeCertificate } from '../support/signing/certificate.ts';
import { cpuOf } from './cost.ts';
import type { Blob } from './push.ts';

/** How a registry is reached. `each`, `all`: the bytes per second of a connection, and of all connections. */
export type Front = { readonly tls?: true; readonly each?: number; readonly all?: number };

/** A tag of an artifact that was pushed. `fresh`: the layers that no tag before it has. */
export type Pushed = {
  readonly tag: string;
  readonly layers: readonly Blob[];
  readonly fresh: readonly Blob[];
  readonly files: number;
  readonly bytes: number;
};

/** A registry with an artifact, as clients reach it. */
export type Source = AsyncDisposable & {
  readonly host: string;
  readonly repository: string;
  /** The file of its certificate, with TLS. */
  readonly ca?: string;
  /** The seconds of CPU time of the registry, and of what limits it. */
  readonly cpu: () => number;
};

/** Starts a registry on content that was pushed before. */
export async function openSource(content: string, repository: string, front: Front): Promise<Source> {
  await using stack = new AsyncDisposableStack();
  const tls = front.tls ? makeCertificate() : undefined;
  const registry = stack.use(await startRealRegistry(tls, undefined, content));
  const ca = tls && join(content, 'certificate.pem');
  if (tls && ca) await writeFile(ca, tls.cert);
  const pids = [registry.pid];
  let host = registry.host;
  if (front.each !== undefined || front.all !== undefined) {
    const rates = [`-each=${front.each ?? 0}`, `-all=${front.all ?? 0}`];
    const pace = stack.use(await startChild(toolPath('pace'), [...rates, registry.host]));
    await waitUntil(pace, () => pace.output().includes('\n'), 'listening');
    pids.push(pace.pid);
    host = pace.output().trim();
  }
  const resources = stack.move();
  return {
    host,
    repository,
    ...(ca && { ca }),
    cpu: () => pids.reduce((sum, pid) => sum + cpuOf(pid), 0),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

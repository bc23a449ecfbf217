import type { Logger } from 'pino';
import type { Settings } from './cli/settings.ts';
import type { Complete, NameRecord, Names } from './ports/records.ts';
import type { Sharing } from './ports/sharing.ts';
import { toArtifactError } from './util/error.ts';
import { version } from './util/version.ts';
import type { SharingPlan } from './volume/share/sharing.ts';

/** What a node shares by --containerd-socket; undefined without it: such a daemon loads nothing of it. */
export async function openSharing<T extends Names & Complete<NameRecord>>(
  { containerdSocket, share }: Pick<Settings, 'containerdSocket' | 'share'>,
  names: T,
): Promise<SharingPlan<T> | undefined> {
  if (containerdSocket === undefined) return undefined;
  const { planSharing } = await import('./volume/share/sharing.ts');
  return planSharing(names, share);
}

/** The socket on which the node shares. Volumes do not need it: if it cannot be served, that is a problem of it alone. */
export async function serveSharing(
  path: string,
  sharing: Sharing,
  log: Logger,
): Promise<AsyncDisposable & { problem(): string | undefined }> {
  try {
    const { serveContainerd } = await import('./grpc/containerd-server.ts');
    const serving = await serveContainerd(path, sharing, version, log);
    log.info({ socket: path }, 'sharing the cache as containerd does');
    return serving;
  } catch (thrown) {
    const problem = `the cache is not shared: ${toArtifactError(thrown).message}`;
    log.error(problem);
    return { problem: () => problem, async [Symbol.asyncDispose]() {} };
  }
}

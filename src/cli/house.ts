import type { Logger } from 'pino';
import type { Transport } from '../oci/endpoint.ts';
import type { Artifacts, Publishing } from '../ports/usecases.ts';
import type { Settings } from './settings.ts';

/** What a command works with: the use cases of this process, or those of a daemon behind its socket. */
export type House = {
  readonly artifacts: Artifacts;
  readonly publishing: Pick<Publishing, 'publish' | 'unpublish'>;
  close(): Promise<void>;
};

/** The part of csi.v1.Node that the demo calls, as kubelet would for an inline volume of a pod. */
export type CsiNode = {
  publish(
    volumeId: string,
    targetPath: string,
    attributes: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void>;
  unpublish(volumeId: string, targetPath: string, signal: AbortSignal): Promise<void>;
  stats(
    volumeId: string,
    volumePath: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: number; readonly inodes: number }>;
  close(): void;
};

/** What a command says of the node that it is for as long as it runs. `reads`: why the state directory is only read, for errors. */
export type Direct = { readonly reads?: string | undefined; readonly transport?: Transport | undefined };

/** What main.ts hands in: the parts above and beside this one, each imported when it is used. */
export type Builder = {
  /** Runs the daemon until a signal ends it; answers the exit code. */
  serve(settings: Settings): Promise<number>;
  /** The use cases in this process, under the store's lock. @throws `busy` while another process has the lock. */
  open(settings: Settings, log: Logger, direct: Direct): Promise<House>;
  /** The use cases of the daemon behind a socket. */
  connect(socket: string): Promise<House>;
  /** kubelet's calls of the driver behind a socket. */
  connectNode(socket: string): Promise<CsiNode>;
};

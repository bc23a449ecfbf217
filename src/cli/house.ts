import type { Logger } from 'pino';
import type { Artifacts, Publishing } from '../volume/usecases.ts';
import type { Settings } from './settings.ts';

/** The use cases in this process. */
export type House = {
  readonly artifacts: Artifacts;
  readonly publishing: Publishing;
  close(): Promise<void>;
};

/** What a command works with: a house of this process, or that of a daemon behind its socket. */
export type ShellHouse = Omit<House, 'publishing'> & {
  readonly publishing: Pick<Publishing, 'publish' | 'unpublish'>;
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

/** What main.ts hands in: the parts above and beside this one, each imported when it is used. */
export type Builder = {
  /** Runs the daemon until a signal ends it; answers the exit code. */
  serve(settings: Settings): Promise<number>;
  /** The use cases in this process, under the store's lock. @throws `busy` while another process has the lock. */
  open(settings: Settings, log: Logger): Promise<ShellHouse>;
  /** The use cases of the daemon behind a socket. */
  connect(socket: string): Promise<ShellHouse>;
  /** kubelet's calls of the driver behind a socket. */
  connectNode(socket: string): Promise<CsiNode>;
};

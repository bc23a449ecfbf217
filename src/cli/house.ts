import type { Logger } from 'pino';
import type { Artifacts, Publishing } from '../volume/usecases.ts';
import type { Settings } from './settings.ts';

/** What a command works with: the use cases in this process, or those of a daemon behind its socket. */
export type House = {
  readonly artifacts: Artifacts;
  readonly publishing: Publishing;
  close(): Promise<void>;
};

/** What main.ts hands in, since only daemon.ts wires; imported when used. */
export type Builder = {
  /** Runs the daemon until a signal ends it; answers the exit code. */
  serve(settings: Settings): Promise<number>;
  /** The use cases in this process, under the store's lock. @throws `busy` while another process has the lock. */
  open(settings: Settings, log: Logger): Promise<House>;
};

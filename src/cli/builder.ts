import type { Logger } from 'pino';
import type { hold } from '../mount/holder.ts';
import type { Transport } from '../oci/endpoint.ts';
import type { Backend, CsiNode } from '../ports/backend.ts';
import type { Settings } from './settings.ts';

/** Settings of a command without a daemon. `reads`: why the state directory is only read, for errors. */
export type Direct = { readonly reads?: string | undefined; readonly transport?: Transport | undefined };

/** The dependencies that main.ts passes in; each is imported when it is used. */
export type Builder = {
  /** Runs the daemon until a signal ends it. Answers the exit code. */
  serve(settings: Settings): Promise<number>;
  /** Keeps landings for the daemon until the signal aborts. */
  hold: typeof hold;
  /** Opens the use cases in this process, under the store's lock. @throws `busy` while another process has the lock. */
  open(settings: Settings, log: Logger, direct: Direct): Promise<Backend>;
  /** Connects to the use cases of the daemon behind a socket. */
  connect(socket: string): Promise<Backend>;
  /** Connects to csi.v1.Node behind a socket. */
  connectNode(socket: string): Promise<CsiNode>;
};

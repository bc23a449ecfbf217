import type { Logger } from 'pino';
import type { Transport } from '../oci/endpoint.ts';
import type { Backend, CsiNode } from '../ports/backend.ts';
import type { Settings } from './settings.ts';

/** What a command says of the node that it is for as long as it runs. `reads`: why the state directory is only read, for errors. */
export type Direct = { readonly reads?: string | undefined; readonly transport?: Transport | undefined };

/** What main.ts hands in: the parts above and beside this one, each imported when it is used. */
export type Builder = {
  /** Runs the daemon until a signal ends it; answers the exit code. */
  serve(settings: Settings): Promise<number>;
  /** The use cases in this process, under the store's lock. @throws `busy` while another process has the lock. */
  open(settings: Settings, log: Logger, direct: Direct): Promise<Backend>;
  /** The use cases of the daemon behind a socket. */
  connect(socket: string): Promise<Backend>;
  /** kubelet's calls of the driver behind a socket. */
  connectNode(socket: string): Promise<CsiNode>;
};

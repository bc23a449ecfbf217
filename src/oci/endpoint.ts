import { ArtifactError } from '../util/error.ts';

/**
 * Where a repository is asked for on the wire: `host` is host[:port] of the API (`registry-1.docker.io` for
 * `docker.io`), `path` the repository's name there. `insecure` allows TLS that cannot be verified, and plain HTTP.
 * `mirrorOf`: the registry whose content it mirrors; absent at the registry itself. What is shown to a registry is not
 * for its mirrors unless it was given for their host.
 */
export type Endpoint = {
  readonly host: string;
  readonly path: string;
  readonly insecure: boolean;
  readonly mirrorOf?: string;
};

/** How a command asks the registry that it names: by plain HTTP, or by TLS without verifying whose certificate it is. */
export type Transport = 'plain-http' | 'insecure';

/** A registry at `host` that could be reached if it were asked by `transport`. */
export class TransportError extends ArtifactError {
  readonly host: string;
  readonly transport: Transport;

  constructor(host: string, transport: Transport, message: string, cause: unknown) {
    super('unavailable', message, cause);
    this.host = host;
    this.transport = transport;
  }
}

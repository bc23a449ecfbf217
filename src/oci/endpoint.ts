import { ArtifactError } from '../util/error.ts';

/**
 * The endpoint of a repository: `host` is host[:port] of the API (`registry-1.docker.io` for `docker.io`), `path` the
 * repository's name there. `insecure` allows TLS that cannot be verified, and plain HTTP. `mirrorOf`: the registry
 * whose content it mirrors; absent at the registry itself. A registry's credential is not sent to its mirrors unless it
 * was given for their host.
 */
export type Endpoint = {
  readonly host: string;
  readonly path: string;
  readonly insecure: boolean;
  readonly mirrorOf?: string;
};

/** How a command reaches the registry that it names: by plain HTTP, or by TLS without certificate verification. */
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

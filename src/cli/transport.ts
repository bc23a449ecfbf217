import { type Command, Option } from 'commander';
import { isDigestStart } from '../oci/digest.ts';
import { type Transport, TransportError } from '../oci/endpoint.ts';
import { parseReference } from '../oci/reference.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import type { Options } from './shell.ts';

const known = { plainHttp: 'plain-http', insecure: 'insecure' } as const;

/** The flags that change how a command without a daemon connects to a registry. */
export function addTransport(command: Command): Command {
  const group = 'Without a daemon:';
  return command
    .addOption(
      new Option('--plain-http', 'use plain HTTP for the registry that the reference names')
        .conflicts('insecure')
        .helpGroup(group),
    )
    .addOption(
      new Option(
        '--insecure',
        'do not verify the certificate of the registry that the reference names',
      ).helpGroup(group),
    );
}

/**
 * Parses these flags for a command with a reference.
 *
 * @throws ArtifactError `invalid` for a short name or a digest, because the flags apply to one registry, which must be
 * named.
 */
export function toTransport(options: Options, reference: string): Transport | undefined {
  const key = (['plainHttp', 'insecure'] as const).find(flag => options[flag] === true);
  if (key === undefined) return undefined;
  if (!isDigestStart(reference) && parseReference(reference).kind === 'full') return known[key];
  throw new ArtifactError(
    'invalid',
    `--${known[key]} is for one registry, and ${reference} names none; write registry/repository:tag`,
  );
}

const hostsToml = { 'plain-http': 'http:// before its host', insecure: 'skip_verify = true' } as const;

/** @throws ArtifactError `denied` saying how to configure the daemon. */
export function refuseTransport(transport: Transport, reference: string, socket: string): never {
  const parsed = parseReference(reference);
  const location = parsed.kind === 'full' ? parsed.reference.registry : reference;
  throw new ArtifactError(
    'denied',
    `--${transport} is not for the daemon at unix://${socket}, which asks registries by the configuration of the node; ` +
      `put registry = [{ location = "${location}", insecure = true }] into a *.conf file of its --registries-conf-dir, or, if a hosts.toml configures that registry, ${hostsToml[transport]} there; or give --state-dir to work without the daemon`,
  );
}

/**
 * The failure of a command that asks registries itself: with the flag of addTransport that helps, where it is the
 * registry that the reference names which cannot be asked by TLS.
 */
export function adviseTransport(thrown: unknown, command: Command): unknown {
  const [reference = ''] = command.args;
  const fault = findTransportError(thrown);
  if (fault === undefined || isDigestStart(reference)) return thrown;
  const flag = `--${fault.transport}`;
  const parsed = parseReference(reference);
  const isNamed = parsed.kind === 'full' && parsed.reference.registry === fault.host;
  if (!isNamed || command.options.every(({ long }) => long !== flag)) return thrown;
  const { code, message } = toArtifactError(thrown);
  return new ArtifactError(code, `${message}, or give this command ${flag}`, thrown);
}

function findTransportError(thrown: unknown): TransportError | undefined {
  for (let error = thrown; error instanceof Error; error = error.cause)
    if (error instanceof TransportError) return error;
  return undefined;
}

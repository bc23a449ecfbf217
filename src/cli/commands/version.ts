import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { printable } from '../../util/printable.ts';
import { version as ours } from '../../util/version.ts';
import type { Builder } from '../builder.ts';
import { toSettings } from '../command-line.ts';
import { findSocket, formatEndpoints, toEndpoints } from '../endpoints.ts';
import { print } from '../output.ts';
import { toOutput } from '../output-options.ts';
import { type Options, programName, type Terminal } from '../shell.ts';

/** Shows the versions of this program and of the daemon, or why the latter is unknown. */
export async function version(
  builder: Pick<Builder, 'connect'>,
  terminal: Terminal,
  options: Options,
): Promise<void> {
  const client = { version: ours, node: process.version, platform: `${process.platform}/${process.arch}` };
  const daemon = await findDaemon(builder, terminal, options).catch((thrown: unknown) => ({
    error: toArtifactError(thrown).message,
  }));
  await print(
    { terminal, ...toOutput(options, terminal) },
    {
      value: { client, daemon },
      text: () =>
        `client: ${programName} ${ours} (node ${client.node}, ${client.platform})\ndaemon: ${formatDaemon(daemon)}\n`,
      names: [ours],
    },
  );
}

type Daemon =
  | { readonly version: string; readonly driverName: string; readonly endpoint: string }
  | { readonly error: string };

async function findDaemon(
  builder: Pick<Builder, 'connect'>,
  terminal: Terminal,
  options: Options,
): Promise<Daemon> {
  const endpoints = toEndpoints(toSettings(options, terminal.environment), options, terminal);
  const socket = await findSocket(endpoints);
  if (socket === undefined) return { error: `none answers on ${formatEndpoints(endpoints)}` };
  const backend = await builder.connect(socket);
  try {
    const { daemon } = await backend.artifacts.status();
    if (daemon === undefined) throw new ArtifactError('internal', 'the daemon says nothing of itself');
    const { version: theirs, driverName } = daemon;
    return { version: theirs, driverName, endpoint: `unix://${socket}` };
  } finally {
    await backend.close();
  }
}

function formatDaemon(daemon: Daemon): string {
  if ('error' in daemon) return printable(daemon.error);
  return printable(`${daemon.driverName} ${daemon.version} (${daemon.endpoint})`);
}

import { parseDuration } from '../../util/duration.ts';
import type { Builder } from '../builder.ts';
import { named, toSettings } from '../command-line.ts';
import { createDaemonLog } from '../daemon-log.ts';
import type { Options, Terminal } from '../shell.ts';
import { parseEndpoint } from '../values.ts';

/** Runs a holder until a signal ends it. */
export async function hold(builder: Builder, terminal: Terminal, options: Options): Promise<void> {
  const { log } = createDaemonLog(toSettings(options, terminal.environment));
  const { listen, patience = '10m' } = options as { readonly listen: string; readonly patience?: string };
  const path = named('--listen', () => parseEndpoint(listen));
  const patienceMs = named('--patience', () => parseDuration(patience));
  await builder.hold({ path, patienceMs, log: text => log.info(text) }, terminal.interrupted('end'));
}

import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Backend } from '../ports/backend.ts';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import type { Builder } from './builder.ts';
import { formatFlag, toSettings } from './command-line.ts';
import { endsBy, toDeadline } from './deadline.ts';
import { findSocket, formatEndpoints, isNamed, toEndpoints } from './endpoints.ts';
import { flags } from './flags.ts';
import { toKeys } from './help/flag-topics.ts';
import { isDocument } from './output-format.ts';
import { toOutput } from './output-options.ts';
import type { Settings } from './settings.ts';
import { type Action, type Options, type Terminal, tell } from './shell.ts';
import { adviseTransport, refuseTransport, toTransport } from './transport.ts';

/**
 * How a command uses the state directory. `begin`: creates it if it does not exist. `change`: changes an existing one.
 * `read`: reads an existing one, and changes nothing. `ask`: like `read`, but it need not exist or be readable.
 */
export type Use = 'begin' | 'change' | 'read' | 'ask';

/** Wraps the work of a command for commander: loads it, opens the backend, works, and closes it. */
export type Act = (
  load: () => Promise<Action>,
  use: (options: Options) => Use,
) => (...parameters: unknown[]) => Promise<void>;

export function createAct(builder: Builder, terminal: Terminal, finish: (code: number) => void): Act {
  /** The daemon's use cases if it answers, else those of this process. `note`: that no daemon answers, for a person. */
  async function openBackend(
    settings: Settings,
    command: Command,
    use: Use,
  ): Promise<{ readonly backend: Backend; readonly note?: string }> {
    const options: Options = command.opts();
    const { stateDir } = settings;
    const direct = options['stateDir'] !== undefined && options['endpoint'] === undefined;
    const endpoints = direct ? [] : toEndpoints(settings, options, terminal);
    const [reference = ''] = command.args;
    const transport = toTransport(options, reference);
    const socket = await findSocket(endpoints);
    if (socket !== undefined) {
      verifyEffect(command, socket);
      if (transport !== undefined) refuseTransport(transport, reference, socket);
      return { backend: await builder.connect(socket) };
    }
    const silence = direct ? '' : `no daemon answers on ${formatEndpoints(endpoints)}`;
    if (!direct && isNamed(options, terminal)) {
      const advice =
        'start the daemon, or correct --endpoint (CSI_ENDPOINT), or give --state-dir in its place to work on a state directory';
      throw new ArtifactError('unavailable', `${silence}; ${advice}`);
    }
    if (use === 'change' || use === 'read') await verifyThere(stateDir, silence);
    const { output } = toOutput(options, terminal);
    // The daemon's info lines are noise in a shell, unless requested.
    const level = options['logLevel'] === undefined ? 'warn' : settings.logLevel;
    const { createLog } = await import('./log.ts');
    const log = createLog(level, isDocument(output), terminal);
    const open = (directory: string): Promise<Backend> =>
      builder.open({ ...settings, stateDir: directory }, log, { reads: readsOf(use), transport });
    try {
      const backend = await open(stateDir);
      if (direct || output !== 'text') return { backend };
      return { backend, note: `${silence}; using the state directory ${stateDir}` };
    } catch (thrown) {
      if (use !== 'ask') throw thrown;
      const backend = await open(nowhere);
      const { message } = toArtifactError(thrown);
      const note = `${message}; ${command.name()} works without it, so nothing counts as cached`;
      if (output === 'text') tell(terminal, note);
      return { backend };
    }
  }

  return (load, use) =>
    async (...parameters) => {
      const command = parameters.at(-1) as Command;
      const options: Options = command.opts();
      const settings = toSettings(options, terminal.environment);
      const action = await load();
      const interrupted = terminal.interrupted('end');
      const late = toDeadline(options);
      const signal = late === undefined ? interrupted : AbortSignal.any([interrupted, late]);
      const used = use(options);
      const { backend, note } = await openBackend(settings, command, used);
      // What a command reads is the same with a daemon and without one, unless the command fails.
      const isNoted = used === 'begin' || used === 'change';
      try {
        if (note !== undefined && isNoted) tell(terminal, note);
        signal.throwIfAborted();
        const shell = { backend, settings, terminal, ...toOutput(options, terminal), signal };
        finish((await endsBy(late, action(shell, command.args, options))) ?? 0);
      } catch (thrown) {
        if (note !== undefined && !isNoted) tell(terminal, note);
        // Those of a daemon come without their causes, and have no use for these flags.
        throw adviseTransport(thrown, command);
      } finally {
        await backend.close();
      }
    };
}

/** Where no directory can be. */
const nowhere = '/proc/none';

/** These select the daemon, or the command itself reads them. */
const effective: readonly string[] = toKeys(['daemon', 'authFile']);

/**
 * @throws ArtifactError `invalid` for a flag that has no effect, because a daemon runs the command by its own settings.
 */
function verifyEffect(command: Command, endpoint: string): void {
  const idle = Object.keys(flags).filter(
    key => !effective.includes(key) && command.getOptionValueSource(key) === 'cli',
  );
  if (idle.length === 0) return;
  const named = idle.map(formatFlag).join(', ');
  throw new ArtifactError(
    'invalid',
    `${named} would have no effect: the daemon at unix://${endpoint} works by its own flags; leave it out, or give --state-dir to work without the daemon`,
  );
}

function readsOf(use: Use): string | undefined {
  return use === 'read' || use === 'ask' ? 'this command only reads the state directory' : undefined;
}

/**
 * @throws ArtifactError if the directory does not exist: `unavailable` if a daemon was tried before, else `invalid`.
 */
async function verifyThere(stateDir: string, silence: string): Promise<void> {
  try {
    await stat(stateDir);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'ENOENT' && errno !== 'ENOTDIR') throw error;
    const absence = `there is no state directory ${stateDir}`;
    if (silence === '') throw new ArtifactError('invalid', `${absence}; correct --state-dir`, error);
    const advice = 'start the daemon, or say where it is with --endpoint (CSI_ENDPOINT) or --state-dir';
    throw new ArtifactError('unavailable', `${silence}, and ${absence}; ${advice}`, error);
  }
}

import { connect } from 'node:net';
import type { Command } from 'commander';
import { destination, pino } from 'pino';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import { toSettings } from './command-line.ts';
import type { Builder, House } from './house.ts';
import type { Settings } from './settings.ts';
import type { Action, Options, Terminal } from './shell.ts';

/** Makes what commander calls of what a command does: opens the house, works, and closes it. */
export type Act = (action: Action) => (...parameters: unknown[]) => Promise<void>;

export function createAct(builder: Builder, terminal: Terminal, finish: (code: number) => void): Act {
  return action =>
    async (...parameters) => {
      const command = parameters.at(-1) as Command;
      const options: Options = command.opts();
      const settings = toSettings(options, terminal.environment);
      const signal = terminal.interrupted('end');
      const house = await openHouse(builder, settings, options);
      try {
        const shell = { house, settings, terminal, json: options.output === 'json', signal };
        finish((await action(shell, command.args, options)) ?? 0);
      } finally {
        await house.close();
      }
    };
}

/** The daemon's use cases if it answers, else those of this process. */
async function openHouse(builder: Builder, settings: Settings, options: Options): Promise<House> {
  const thatFolder = options.stateDir !== undefined && options.endpoint === undefined;
  if (!thatFolder && (await answers(settings.endpoint))) return builder.connect(settings.endpoint);
  // What a daemon tells in its log is noise in a shell, unless it was asked for.
  const level = options.logLevel === undefined ? 'warn' : settings.logLevel;
  return builder.open(settings, pino({ level }, destination({ dest: 2, sync: true })));
}

/** Whether somebody listens on a socket. @throws ArtifactError `denied` when this user may not ask. */
async function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect({ path });
  socket.once('connect', () => resolve(true)).once('error', reject);
  try {
    return await promise;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ECONNREFUSED' || errno === 'ENOTDIR') return false;
    if (errno === 'EACCES' || errno === 'EPERM') {
      throw new ArtifactError('denied', `${path} is not for this user; run the command as root`, error);
    }
    throw new ArtifactError('unavailable', `${path}: ${toArtifactError(error).message}`, error);
  } finally {
    socket.destroy();
  }
}

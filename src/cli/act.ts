import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { toSettings } from './command-line.ts';
import type { Builder, House } from './house.ts';
import { answers } from './listener.ts';
import { createLog } from './log.ts';
import { isDocument } from './output.ts';
import { toOutput } from './output-options.ts';
import type { Settings } from './settings.ts';
import { type Action, type Options, tell, type Terminal } from './shell.ts';

/**
 * What a command does to the state directory. `begin`: makes it where there is none; `change`: changes one that is there;
 * `read`: reads one that is there, and makes, changes and removes nothing; `ask`: the same, and need not find one.
 */
export type Use = 'begin' | 'change' | 'read' | 'ask';

/** Makes what commander calls of what a command does: opens the house, works, and closes it. */
export type Act = (
  action: Action,
  use: (options: Options) => Use,
) => (...parameters: unknown[]) => Promise<void>;

export function createAct(builder: Builder, terminal: Terminal, finish: (code: number) => void): Act {
  /** The daemon's use cases if it answers, else those of this process. */
  async function openHouse(settings: Settings, options: Options, use: Use): Promise<House> {
    const { endpoint, stateDir } = settings;
    const thatFolder = options.stateDir !== undefined && options.endpoint === undefined;
    if (!thatFolder && (await answers(endpoint))) return builder.connect(endpoint);
    const silence = thatFolder ? '' : `no daemon answers on unix://${endpoint}`;
    if (use === 'change' || use === 'read') await verifyThere(stateDir, silence);
    const { output } = toOutput(options, terminal);
    // What a daemon tells in its log is noise in a shell, unless it was asked for.
    const level = options.logLevel === undefined ? 'warn' : settings.logLevel;
    const house = await builder.open(settings, createLog(level, isDocument(output), terminal), readsOf(use));
    if (!thatFolder && output === 'text')
      tell(terminal, `${silence}; this is the state folder ${stateDir} itself`);
    return house;
  }

  return (action, use) =>
    async (...parameters) => {
      const command = parameters.at(-1) as Command;
      const options: Options = command.opts();
      const settings = toSettings(options, terminal.environment);
      const signal = terminal.interrupted('end');
      const house = await openHouse(settings, options, use(options));
      try {
        const shell = { house, settings, terminal, ...toOutput(options, terminal), signal };
        finish((await action(shell, command.args, options)) ?? 0);
      } finally {
        await house.close();
      }
    };
}

function readsOf(use: Use): string | undefined {
  return use === 'read' || use === 'ask' ? 'this command only reads the state directory' : undefined;
}

/** @throws ArtifactError where there is no such folder: `unavailable` if a daemon was asked before, else `invalid`. */
async function verifyThere(stateDir: string, silence: string): Promise<void> {
  try {
    await stat(stateDir);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'ENOENT' && errno !== 'ENOTDIR') throw error;
    const absence = `there is no state folder ${stateDir}`;
    if (silence === '') throw new ArtifactError('invalid', `${absence}; correct --state-dir`, error);
    const advice = 'start the daemon, or correct --endpoint (CSI_ENDPOINT) or --state-dir';
    throw new ArtifactError('unavailable', `${silence}, and ${absence}; ${advice}`, error);
  }
}

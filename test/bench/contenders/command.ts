import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { Program } from '../../tools/table.ts';
import type { Contender, Content, Place, Pulled } from '../contender.ts';
import { runTimed } from '../cost.ts';
import type { Row } from '../rows.ts';
import type { Pushed, Source } from '../source.ts';

/** A contender that is a command, which runs for each pull. */
export type Command = {
  readonly name: string;
  readonly kind: 'rival' | 'floor';
  readonly version: () => string;
  readonly makes: 'files' | 'an OCI layout' | 'the blobs' | 'nothing';
  readonly programs: readonly Program[];
  readonly takes: readonly Row['kind'][];
  readonly argv: (task: Task) => readonly string[];
};

/** What a command has to bring where. */
export type Task = {
  readonly source: Source;
  readonly row: Row;
  readonly tag: Pushed;
  /** A directory, which is there. */
  readonly out: string;
  /** A file with a line for each new layer: digest and size. */
  readonly list: string;
};

export function openCommand(command: Command): Contender {
  return {
    ...command,
    takes: row => command.takes.includes(row.kind),
    open: async place => ({
      pids: [],
      pull: tag => runCommand(command, place, tag),
      [Symbol.asyncDispose]: async () => {},
    }),
  };
}

async function runCommand(command: Command, place: Place, tag: Pushed): Promise<Pulled> {
  const { path, source, row, prefix } = place;
  const out = join(path, `out-${tag.tag}`);
  const list = join(path, `list-${tag.tag}`);
  mkdirSync(out);
  writeFileSync(list, tag.fresh.map(({ digest, size }) => `${digest} ${size}\n`).join(''));
  // No credentials, caches or settings of the machine.
  const env = { ...process.env, HOME: path, TMPDIR: path, DOCKER_CONFIG: path, XDG_CACHE_HOME: path };
  const trust = source.ca === undefined ? {} : { SSL_CERT_FILE: source.ca };
  const usage = await runTimed([...prefix, ...command.argv({ source, row, tag, out, list })], {
    cwd: path,
    env: { ...env, ...trust },
  });
  const content = contentOf(command.makes, out, tag);
  return content === undefined ? { usage } : { usage, content };
}

function contentOf(makes: Command['makes'], directory: string, tag: Pushed): Content | undefined {
  switch (makes) {
    case 'files':
      return { directory, files: tag.files, bytes: tag.bytes };
    case 'an OCI layout':
    case 'the blobs':
      return {
        directory,
        files: tag.fresh.length,
        bytes: tag.fresh.reduce((sum, { size }) => sum + size, 0),
      };
    case 'nothing':
      return undefined;
  }
}

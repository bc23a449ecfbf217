import { Option, type Command } from 'commander';
import { parsePlatform } from '../oci/platform.ts';
import type { PullRequest } from '../volume/request.ts';
import type { Options } from './shell.ts';

/** The flags of `pull` and `mount`; each says what the volume attribute of its name says. */
export function addSelection(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--pull-policy <policy>',
        'default: Always for :latest or no tag, else IfNotPresent',
      ).choices(['Always', 'IfNotPresent', 'Never']),
    )
    .addOption(new Option('--unpack <when>', 'tar layers').choices(['auto', 'never']).default('auto'))
    .option('--sub-path <path>', 'a directory or file of the tree')
    .option('--include <globs>', 'layer names to have, separated by commas')
    .option('--exclude <globs>', 'layer names to leave out; wins')
    .option('--platform <os/arch>', "os/arch or os/arch/variant; default: the node's own");
}

/** @throws ArtifactError `invalid` for a platform that is none. */
export function toPullRequest(
  reference: string,
  options: Options,
  secrets: Readonly<Record<string, string>>,
): PullRequest {
  const { pullPolicy, unpack, subPath, include, exclude, platform } = options as {
    readonly pullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
    readonly unpack: 'auto' | 'never';
    readonly subPath?: string;
    readonly include?: string;
    readonly exclude?: string;
    readonly platform?: string;
  };
  return {
    reference,
    ...(pullPolicy === undefined ? {} : { pullPolicy }),
    ...(platform === undefined ? {} : { platform: parsePlatform(platform) }),
    selection: {
      unpack,
      include: split(include),
      exclude: split(exclude),
      ...(subPath === undefined ? {} : { subPath }),
    },
    secrets,
  };
}

function split(globs = ''): readonly string[] {
  return globs
    .split(',')
    .map(glob => glob.trim())
    .filter(glob => glob !== '');
}

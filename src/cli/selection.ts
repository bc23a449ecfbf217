import { type Command, Option } from 'commander';
import type { PullRequest } from '../ports/request.ts';
import { ArtifactError } from '../util/error.ts';
import { parseAttributes } from '../volume/attributes.ts';
import { formatFlag } from './command-line.ts';
import type { Options } from './shell.ts';

/** The flags of `pull` and `mount`. Each means the volume attribute of the same name. */
export function addSelection(command: Command): Command {
  return command
    .addOption(
      new Option('--pull-policy <policy>', 'when to ask the registry')
        .choices(['Always', 'IfNotPresent', 'Never'])
        .default(undefined, 'Always for :latest or no tag, else IfNotPresent'),
    )
    .addOption(
      new Option('--unpack <when>', 'which tar layers to unpack')
        .choices(['auto', 'never', 'always'])
        .default('auto'),
    )
    .option('--sub-path <path>', 'show only this directory or file of the artifact', verifiedAs('subPath'))
    .option('--include <globs>', 'layer names to have, separated by commas', verifiedAs('include'))
    .option('--exclude <globs>', 'layer names to leave out, even if included', verifiedAs('exclude'))
    .option(
      '--platform <os/arch>',
      'os/arch or os/arch/variant, for an index (default the node)',
      verifiedAs('platform'),
    );
}

/** Validates a value before anything is opened or created. */
function verifiedAs(key: string): (text: string) => string {
  return text => {
    toPullRequest('any', { [key]: text }, {});
    return text;
  };
}

/** Parses the flags by the rules of the volume attributes. @throws ArtifactError `invalid`. */
export function toPullRequest(
  reference: string,
  options: Options,
  secrets: Readonly<Record<string, string>>,
): PullRequest {
  const { pullPolicy, unpack, subPath, include, exclude, platform } = options;
  const fields = { reference, pullPolicy, unpack, subPath, include, exclude, platform };
  const given = Object.entries(fields).filter(
    (field): field is [string, string] => typeof field[1] === 'string',
  );
  try {
    return { ...parseAttributes(Object.fromEntries(given)), secrets, caller: 'administrator' };
  } catch (error) {
    throw nameFlag(error);
  }
}

/** Names the flag instead of the attribute in an error. */
function nameFlag(error: unknown): unknown {
  if (!(error instanceof ArtifactError)) return error;
  const message = error.message
    .replace(/^the volume attribute (\w+)/, (_, key: string) =>
      key === 'reference' ? 'the reference' : formatFlag(key),
    )
    .replace(/^invalid volume attribute (\w+)/, (_, key: string) =>
      key === 'reference' ? 'invalid reference' : `${formatFlag(key)}: invalid value`,
    );
  return new ArtifactError(error.code, message, error);
}

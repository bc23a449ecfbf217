import type { Argument, Command, Help, HelpConfiguration, Option } from 'commander';
import { formatExitCodes } from '../exit.ts';
import { examples } from './examples.ts';

/** Longer terms stand on a line of their own. */
const termColumns = 26;
/** Width of the help, whatever the terminal has. */
const columns = 80;

/** The layout of the help of each command. */
export const helpLayout: HelpConfiguration = {
  helpWidth: columns,
  padWidth: (command, helper) =>
    Math.min(
      termColumns,
      Math.max(
        helper.longestOptionTermLength(command, helper),
        helper.longestSubcommandTermLength(command, helper),
      ),
    ),
  formatItem,
  commandUsage: formatUsage,
  visibleArguments: () => [],
  subcommandTerm: command => [command.name(), ...command.registeredArguments.map(formatArgument)].join(' '),
  optionDescription: formatOption,
};

/** `pull <reference> [options]`, under the name of the program. */
function formatUsage(command: Command): string {
  const { parent } = command;
  if (parent === null) return `${command.name()} <command> [options]`;
  return [
    parent.name(),
    command.name(),
    ...command.registeredArguments.map(formatArgument),
    '[options]',
  ].join(' ');
}

export function formatArgument(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

/** The description of an option with its choices and its default. */
export function formatOption({
  description,
  argChoices: choices,
  defaultValue,
  defaultValueDescription,
}: Option): string {
  const preset = defaultValueDescription ?? (typeof defaultValue === 'string' ? defaultValue : undefined);
  const listed = choices === undefined ? '' : `: ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
  return `${description}${listed}${preset === undefined ? '' : ` (default ${preset})`}`;
}

function formatItem(term: string, width: number, description: string, helper: Help): string {
  if (description === '') return `  ${term}`;
  const lines = helper.boxWrap(description, columns - width - 4).split('\n');
  const indented = lines.map(line => `${' '.repeat(width + 4)}${line}`).join('\n');
  return term.length > width
    ? `  ${term}\n${indented}`
    : `  ${term.padEnd(width)}  ${indented.slice(width + 4)}`;
}

/** The text below the flags: aliases and examples of a command, exit codes of the program. */
export function formatAfter(command: Command): string {
  if (command.parent === null)
    return `\nRun '${command.name()} <command> --help' for the flags of a command.\n\n${formatExitCodes()}`;
  const aliases = command.aliases();
  const lines = (examples[command.name()] ?? []).map(
    ([line, does]) => `  # ${does}\n  ${command.parent?.name()} ${line}`,
  );
  return [
    ...(aliases.length === 0 ? [] : [`Aliases: ${aliases.join(', ')}`]),
    ...(lines.length === 0 ? [] : [`Examples:\n${lines.join('\n')}`]),
  ]
    .map(part => `\n${part}`)
    .join('\n');
}

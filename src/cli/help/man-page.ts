import type { Command } from 'commander';
import { examples } from './examples.ts';
import { formatArgument, formatOption } from './help.ts';

/** The manual page of a program (man(7)), from the texts of its `--help`. `after`: text blocks with a heading each. */
export function formatManPage(
  program: Command,
  version: string,
  after: readonly (readonly [heading: string, text: string])[],
): string {
  const name = program.name();
  const help = program.createHelp();
  const [first = '', ...rest] = program.description().split('\n\n');
  const commands = help.visibleCommands(program);
  return [
    `.TH ${name.toUpperCase()} 8 "" ${quote(`${name} ${version}`)} "System Administration"`,
    section('NAME', `${escape(name)} \\- ${escape(first.replace(/\.$/, ''))}`),
    section('SYNOPSIS', `.B ${escape(name)}\n.I command\n[\\fIoptions\\fR]`),
    section('DESCRIPTION', rest.map(escape).join('\n.PP\n')),
    section('COMMANDS', commands.map(command => formatCommand(command, name)).join('\n')),
    ...after.map(([heading, text]) => section(heading, `.nf\n${escape(text)}\n.fi`)),
  ].join('\n');
}

function formatCommand(command: Command, program: string): string {
  const help = command.createHelp();
  const options = help
    .visibleOptions(command)
    .map(option => `.TP\n\\fB${escape(option.flags)}\\fR\n${escape(formatOption(option))}`);
  const operands = command.registeredArguments
    .map(formatArgument)
    .map(operand => ` \\fI${escape(operand.replaceAll(/[<>]/g, ''))}\\fR`)
    .join('');
  const aliases =
    command.aliases().length === 0 ? '' : ` (also \\fB${escape(command.aliases().join(', '))}\\fR)`;
  const lines = (examples[command.name()] ?? []).map(([line, does]) => `# ${does}\n${program} ${line}`);
  return [
    `.SS ${escape(command.name())}${operands}${aliases}`,
    command.description().split('\n\n').map(escape).join('\n.PP\n'),
    ...options,
    ...(lines.length === 0 ? [] : [`.PP\nExamples:\n.PP\n.nf\n${escape(lines.join('\n'))}\n.fi`]),
  ].join('\n');
}

function section(heading: string, body: string): string {
  return `.SH ${heading}\n${body}`;
}

function quote(text: string): string {
  return `"${escape(text).replaceAll('"', '""')}"`;
}

/** Text without roff requests and escapes, and with dashes of flags that can be copied. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&');
}

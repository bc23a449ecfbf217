import type { Command, Option } from 'commander';

/** The manual page of a program (man(7)), from the texts that its `--help` has. `after`: text blocks with a heading each. */
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
    section('COMMANDS', commands.map(command => formatCommand(command)).join('\n')),
    ...after.map(([heading, text]) => section(heading, `.nf\n${escape(text)}\n.fi`)),
  ].join('\n');
}

function formatCommand(command: Command): string {
  const help = command.createHelp();
  const options = help.visibleOptions(command).map(formatOption);
  const usage = command.registeredArguments.map(argument => {
    const dots = argument.variadic ? '...' : '';
    return argument.required ? `${argument.name()}${dots}` : `[${argument.name()}${dots}]`;
  });
  const operands = usage.map(operand => ` \\fI${escape(operand)}\\fR`).join('');
  const aliases =
    command.aliases().length === 0 ? '' : ` (also \\fB${escape(command.aliases().join(', '))}\\fR)`;
  return [
    `.SS ${escape(command.name())}${operands}${aliases}`,
    escape(command.description()),
    ...options,
  ].join('\n');
}

function formatOption({ flags, description, argChoices }: Option): string {
  const choices = argChoices === undefined ? '' : ` (${argChoices.join(', ')})`;
  return `.TP\n\\fB${escape(flags)}\\fR\n${escape(`${description}${choices}`)}`;
}

function section(heading: string, body: string): string {
  return `.SH ${heading}\n${body}`;
}

function quote(text: string): string {
  return `"${escape(text).replaceAll('"', '""')}"`;
}

/** Text in which roff sees no request, no escape, and no hyphen where a dash of a flag stands. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&');
}

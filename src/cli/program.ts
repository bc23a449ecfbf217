import { Command, CommanderError, Option } from 'commander';
import { ArtifactError, invalidValue, toArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { suggest } from '../util/near.ts';
import { version as ours } from '../util/version.ts';
import { createAct } from './act.ts';
import type { Builder } from './builder.ts';
import { toSettings } from './command-line.ts';
import { addCommands } from './command-table.ts';
import { exitCodes, formatExitCodes } from './exit.ts';
import { formatCompletion, shells } from './help/completion.ts';
import { formatAfter, helpLayout } from './help/help.ts';
import { addOutput, asksForJson } from './output-options.ts';
import { addDaemonFlags, addServeFlags, toOption } from './settings-options.ts';
import { type Options, programName, type Terminal, tell } from './shell.ts';

const about = `Mounts OCI artifacts read-only into Kubernetes pods.

A reference is short or full: model:1, ghcr.io/org/model:1, or
ghcr.io/org/model@sha256:<hex>

Commands talk to the daemon at --endpoint, which must answer, else to the daemon
of this node. If none answers there, or --state-dir is given without --endpoint,
they use the state directory directly.`;

const variables = `Each flag of this list is also an environment variable, OCI_ARTIFACT_ and its
name in capitals (OCI_ARTIFACT_CACHE_HIGH for --cache-high), unless another name
stands beside it. A flag takes precedence over its variable.`;

/** Runs a command line (without the program's name), and answers the exit code of cli/exit.ts. */
export async function runCli(argv: readonly string[], builder: Builder, terminal: Terminal): Promise<number> {
  let code = 0;
  const finish = (answered: number): void => {
    code = answered;
  };
  const program = createProgram(builder, terminal, finish);
  try {
    verifyCommand(program, argv);
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) return report(error, argv, terminal);
    if (error.exitCode === 0) return 0;
    // Without a command, commander has printed the help.
    if (error.code === 'commander.help') return exitCodes.invalid;
    return report(toUsageError(error, findCommand(program, argv[0])), argv, terminal);
  }
}

/** Before commander, which shows its own help for any command that is not there. @throws ArtifactError `invalid`. */
function verifyCommand(program: Command, [first, second]: readonly string[]): void {
  const name = first === 'help' ? second : first;
  if (name === undefined || name.startsWith('-') || name === 'help' || findCommand(program, name)) return;
  const known = program.commands.flatMap(command => [command.name(), ...command.aliases()]);
  throw new ArtifactError(
    'invalid',
    `unknown command ${quoteName(name)}${suggest(name, known)}; see ${programName} --help`,
  );
}

function findCommand(program: Command, name: string | undefined): Command | undefined {
  return program.commands.find(command => command.name() === name || command.aliases().includes(name ?? ''));
}

/** `command`: the one whose command line is wrong; none where it is the program's. */
function toUsageError({ code, message }: CommanderError, command: Command | undefined): ArtifactError {
  const excess = command?.args[command.registeredArguments.length];
  const why =
    code === 'commander.excessArguments' && excess !== undefined
      ? `unexpected argument ${quoteName(excess)}`
      : toReason(message);
  const words = [programName, ...(command === undefined ? [] : [command.name()]), '--help'];
  return new ArtifactError('invalid', `${why}; see ${words.join(' ')}`);
}

/** An error of commander in the words of this program. */
function toReason(message: string): string {
  const choice =
    /^error: option '(?:-\w, )?(--[\w-]+).*?' argument '(.*)' is invalid\. Allowed choices are (.*)\.$/s;
  const [, flag, typed = '', choices] = choice.exec(message) ?? [];
  if (flag !== undefined) return invalidValue('value', typed, `must be one of ${choices}`, flag).message;
  const conflict = /^error: option '([^']*)' cannot be used with option '([^']*)'$/;
  const [, one, other] = conflict.exec(message) ?? [];
  if (one !== undefined) return `${one} cannot be used with ${other}`;
  return message
    .replace(/^error: /, '')
    .replace(/\.$/, '')
    .replace(/'(.*)'/s, (_, quoted: string) => quoteName(quoted))
    .replaceAll('\n', ' ')
    .replace('(Did you', '(did you');
}

/** Prints an error as one line on stderr, in JSON if the command asked for JSON. */
function report(thrown: unknown, argv: readonly string[], terminal: Terminal): number {
  const { code, message } = toArtifactError(thrown);
  if (asksForJson(argv)) terminal.stderr.write(`${JSON.stringify({ error: { code, message } })}\n`);
  else tell(terminal, message);
  return exitCodes[code];
}

function createProgram(builder: Builder, terminal: Terminal, finish: (code: number) => void): Command {
  const program = new Command(programName)
    .description(about)
    .configureHelp(helpLayout)
    .helpOption('-h, --help', 'display help')
    .version(ours, '--version', 'print the version of this program')
    .exitOverride()
    .configureOutput({
      writeOut: text => void terminal.stdout.write(text),
      writeErr: text => void terminal.stderr.write(text),
      outputError: () => undefined, // runCli reports it
    });

  program.commandsGroup('Node:');
  addServeFlags(
    program
      .command('serve')
      .summary('run the daemon of this node')
      .description(`Runs the daemon of this node until SIGTERM or SIGINT.\n\n${variables}`),
  ).action(async (given: Readonly<Record<string, unknown>>) => {
    const settings = toSettings(given, terminal.environment);
    finish(await builder.serve(settings));
  });
  addHold(program, builder, terminal);
  addCommands(program, createAct(builder, terminal, finish));
  program.commandsGroup('Program:').helpCommand('help [command]', 'display help for a command');
  addDemo(program, builder, terminal);
  addChunks(program, terminal);
  program
    .command('completion <shell>')
    .summary(`print a completion script: ${shells.join(', ')}`)
    .description(`Prints a script that completes commands and flags. Shells: ${shells.join(', ')}.`)
    .action(async (shell: string) => {
      const known = shells.find(name => name === shell);
      if (known === undefined) throw invalidValue('shell', shell, `must be one of ${shells.join(', ')}`);
      terminal.stdout.write(formatCompletion(program, known));
    });
  program
    .command('man')
    .summary('print the manual page')
    .description('Prints the manual page of this program for man(1).')
    .action(async () => {
      const { formatManPage } = await import('./help/man-page.ts');
      terminal.stdout.write(`${formatManPage(program, ours, [['EXIT STATUS', formatExitCodes()]])}\n`);
    });
  addDaemonFlags(
    addOutput(
      program
        .command('version')
        .summary('show the version of this program and of the daemon')
        .description('Shows the version of this program and of the daemon.'),
    ),
  ).action(async (options: Options) => {
    const { version } = await import('./commands/version.ts');
    await version(builder, terminal, options);
  });
  for (const command of [program, ...program.commands])
    command.addHelpText('after', ({ command: shown }) => formatAfter(shown));
  return program;
}

function addHold(program: Command, builder: Builder, terminal: Terminal): void {
  program
    .command('hold')
    .summary('let reads of volumes wait while the daemon is replaced')
    .description(
      'Runs the holder of this node until SIGTERM or SIGINT: while no daemon runs, it lets reads of content that is loaded on demand wait for the next one. The daemon finds it by --holder. Both must run as root; the holder needs no capability.',
    )
    .requiredOption('--listen <URL>', 'socket of the holder, in a directory that only root can write to')
    .option(
      '--patience <DURATION>',
      'how long reads wait while no daemon runs, before they fail (EIO) (default 10m)',
    )
    .addOption(toOption('logLevel'))
    .addOption(toOption('logFormat'))
    .action(async (options: Options) => {
      const { hold } = await import('./commands/hold.ts');
      await hold(builder, terminal, options);
    });
}

function addDemo(program: Command, builder: Builder, terminal: Terminal): void {
  program
    .command('demo')
    .summary('publish an artifact from an embedded registry, and clean up')
    .description(
      'Publishes an artifact from an embedded registry as a volume, shows it, and cleans up. Needs root.',
    )
    .addOption(
      new Option('-o, --output <format>', 'format of the result').choices(['text', 'json']).default('text'),
    )
    .option(
      '--on-demand',
      'show how 2 GiB are mounted at once and loaded on demand, on 2.1 GiB of disk, within a minute on an idle machine',
    )
    .action(
      async ({ output, onDemand = false }: { readonly output: string; readonly onDemand?: boolean }) => {
        const { demo } = await import('./demo/demo.ts');
        await demo(builder, terminal, { json: output === 'json', onDemand });
      },
    );
}

function addChunks(program: Command, terminal: Terminal): void {
  program
    .command('chunks <file...>')
    .helpGroup('Artifacts:')
    .summary('list the chunks of files that are to be pushed')
    .description(
      'Writes FILE.chunks beside each file: the digests of its chunks, by which a node loads it on demand. A second file has the annotations that name the lists. Nothing is overwritten. Prints the command of oras that pushes all of them.',
    )
    .addOption(new Option('--annotations <file>', 'where the annotations are written').default('chunks.json'))
    .action(async (files: readonly string[], { annotations }: { readonly annotations: string }) => {
      const { chunks } = await import('./commands/chunks.ts');
      await chunks(terminal, files, annotations);
    });
}

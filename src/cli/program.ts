import { Command, CommanderError, Option } from 'commander';
import { isDigest } from '../oci/digest.ts';
import { parseReference } from '../oci/reference.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { version as ours } from '../util/version.ts';
import { type Act, createAct } from './act.ts';
import { formatFlag, formatVariable, toSettings } from './command-line.ts';
import { fsck } from './commands/fsck.ts';
import { inspect } from './commands/inspect.ts';
import { load } from './commands/load.ts';
import { ls } from './commands/ls.ts';
import { mount, unmount } from './commands/mount.ts';
import { pin, unpin } from './commands/pins.ts';
import { prune, rm } from './commands/collect.ts';
import { pull } from './commands/pull.ts';
import { resolve } from './commands/resolve.ts';
import { status } from './commands/status.ts';
import { version } from './commands/version.ts';
import { volumes } from './commands/volumes.ts';
import { formatCompletion, shells } from './completion.ts';
import { formatManPage } from './man-page.ts';
import { exitCodes, formatExitCodes } from './exit.ts';
import { flags } from './flags.ts';
import type { Builder } from './house.ts';
import { addOutput, asksForJson } from './output-options.ts';
import { addSelection } from './selection.ts';
import type { Settings } from './settings.ts';
import { type Options, programName, tell, type Terminal } from './shell.ts';

const about = `Mounts OCI artifacts read-only into Kubernetes pods.

A reference is short or full: model:1, ghcr.io/org/model:1, or …/model@sha256:…
Commands talk to the daemon at --endpoint (CSI_ENDPOINT). If there is none, or
--state-dir is given without --endpoint, they use the state directory directly,
with the flags and variables of serve.`;

/** Runs one command line (without the program's name) and answers the exit code of cli/exit.ts. */
export async function runCli(argv: readonly string[], builder: Builder, terminal: Terminal): Promise<number> {
  let code = 0;
  const finish = (answered: number): void => {
    code = answered;
  };
  try {
    await createProgram(builder, terminal, finish).parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) return report(error, argv, terminal);
    if (error.exitCode === 0) return 0;
    // Without a command, the help is what commander has written.
    if (error.code === 'commander.help') return exitCodes.invalid;
    return report(toUsageError(error), argv, terminal);
  }
}

function toUsageError({ message }: CommanderError): ArtifactError {
  const why = message
    .replace(/^error: /, '')
    .replace(/\.$/, '')
    .replaceAll('\n', ' ');
  return new ArtifactError('invalid', `${why}; see --help`);
}

/** One line on stderr; JSON where the command was asked for JSON. */
function report(thrown: unknown, argv: readonly string[], terminal: Terminal): number {
  const { code, message } = toArtifactError(thrown);
  if (asksForJson(argv)) terminal.stderr.write(`${JSON.stringify({ error: { code, message } })}\n`);
  else tell(terminal, message);
  return exitCodes[code];
}

function createProgram(builder: Builder, terminal: Terminal, finish: (code: number) => void): Command {
  const program = new Command(programName)
    .description(about)
    .version(ours, '--version')
    .helpCommand('help [command]', 'display help for a command')
    .exitOverride()
    .configureOutput({
      writeOut: text => void terminal.stdout.write(text),
      writeErr: text => void terminal.stderr.write(text),
      outputError: () => undefined, // runCli reports it
    })
    .addHelpText('after', `\n${formatExitCodes()}`);

  addSettings(program.command('serve').description('run the daemon of this node'), true).action(
    async (given: Readonly<Record<string, unknown>>) => {
      const settings = toSettings(given, terminal.environment);
      finish(await builder.serve(settings));
    },
  );
  addCommands(program, createAct(builder, terminal, finish));
  program
    .command('demo')
    .description('publish an artifact of an embedded registry as a volume, and clean up')
    .addOption(outputOption())
    .action(async ({ output }: { readonly output: string }) => {
      const { demo } = await import('./demo/demo.ts');
      await demo(builder, terminal, output === 'json');
    });
  program
    .command('completion <shell>')
    .description(`print a completion script: ${shells.join(', ')}`)
    .action(async (shell: string) => {
      const known = shells.find(name => name === shell);
      if (known === undefined)
        throw new ArtifactError('invalid', `unknown shell "${shell}": must be one of ${shells.join(', ')}`);
      terminal.stdout.write(formatCompletion(program, known));
    });
  program
    .command('man')
    .description('print the manual page; `man -l` shows it')
    .action(() => {
      terminal.stdout.write(`${formatManPage(program, ours, [['EXIT STATUS', formatExitCodes()]])}\n`);
    });
  addOutput(
    addSettings(
      program.command('version').description('show the version of this program and of the daemon'),
      false,
    ),
  ).action(async (options: Options) => version(builder, terminal, options));
  return program;
}

function addCommands(program: Command, act: Act): void {
  const add = (usage: string, says: string): Command => {
    const command = addOutput(addSettings(program.command(usage).description(says), false));
    const reference = command.registeredArguments.find(argument => argument.name() === 'reference');
    reference?.argParser(verifyReference);
    return command;
  };

  addSelection(addCredentials(add('pull <reference>', 'bring an artifact into the cache')))
    .option('--cancel', 'end instead the pulls of it that are under way, whoever wants them')
    .action(act(pull, ({ cancel }: Options) => (cancel === true ? 'ask' : 'begin')));
  add('status', 'show the daemon, its disk and volumes, and the pulls under way').action(
    act(status, () => 'ask'),
  );
  add(
    'load <layout> [reference]',
    'take artifacts from an OCI layout: a directory, a tar, or - for a tar on standard input',
  ).action(act(load, () => 'begin'));
  addCredentials(add('resolve <reference>', 'ask the registry what a reference names')).action(
    act(resolve, () => 'ask'),
  );
  add('ls', 'list the artifacts of the cache')
    .alias('list')
    .alias('images')
    .action(act(ls, () => 'read'));
  addCredentials(add('inspect <reference>', 'show one artifact of the cache'))
    .option('--credentials', 'show instead where credentials for it are looked for and found')
    .option('--pod <namespace/name>', 'with --credentials: for that pod, as the Kubernetes API knows it')
    .action(act(inspect, ({ credentials }: Options) => (credentials === true ? 'ask' : 'read')));
  add('rm <reference...>', 'remove references, and free the space that nothing else uses')
    .alias('rmi')
    .action(act(rm, () => 'change'));
  add('prune', 'free everything that no volume, pull or pin holds').action(act(prune, () => 'change'));
  add('pin <reference>', 'keep an artifact from garbage collection').action(act(pin, () => 'change'));
  add('unpin <reference>', 'allow garbage collection again').action(act(unpin, () => 'change'));
  add('volumes', 'list which artifact each pod has').action(act(volumes, () => 'read'));
  addSelection(
    addCredentials(add('mount <reference> <dir>', 'mount an artifact read-only at a directory')),
  ).action(act(mount, () => 'begin'));
  add('unmount <dir>', 'unmount a directory that `mount` mounted')
    .alias('umount')
    .action(act(unmount, () => 'change'));
  add('fsck', 'verify all cached content against its digests')
    .option('--repair', 'take what is wrong out of use, so that it is pulled again')
    .action(act(fsck, ({ repair }: Options) => (repair === true ? 'change' : 'read')));
}

/** Before anything is opened or made for it. @throws ArtifactError `invalid`. */
function verifyReference(text: string): string {
  if (!isDigest(text)) parseReference(text);
  return text;
}

/** All flags of a node; the commands take them too, for where no daemon answers, and show the two that say where. */
function addSettings(command: Command, all: boolean): Command {
  for (const key of Object.keys(flags) as (keyof Settings)[]) {
    const { value, says, preset } = flags[key];
    const from = `${preset === '' ? '' : `default ${preset}; `}${formatVariable(key)}`;
    const bracketed = value.startsWith('[') ? value : `<${value}>`;
    const option = new Option(`${formatFlag(key)} ${bracketed}`, `${says} (${from})`);
    command.addOption(option.hideHelp(!all && key !== 'endpoint' && key !== 'stateDir'));
  }
  return command;
}

function addCredentials(command: Command): Command {
  command.options.find(({ long }) => long === formatFlag('authFile'))?.hideHelp(false);
  return command
    .option('--username <name>', 'username at the registry')
    .option('--password-stdin', 'read the password from standard input');
}

function outputOption(): Option {
  return new Option('--output <format>', 'text or json').choices(['text', 'json']).default('text');
}

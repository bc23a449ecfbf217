import { type Command, Option } from 'commander';
import { isDigestStart } from '../oci/digest.ts';
import { parseReference } from '../oci/reference.ts';
import type { Act } from './act.ts';
import { prune, rm } from './commands/collect.ts';
import { fsck } from './commands/fsck.ts';
import { inspect } from './commands/inspect.ts';
import { load } from './commands/load.ts';
import { ls } from './commands/ls.ts';
import { mount, unmount } from './commands/mount.ts';
import { pin, unpin } from './commands/pins.ts';
import { pull } from './commands/pull.ts';
import { resolve } from './commands/resolve.ts';
import { status } from './commands/status.ts';
import { volumes } from './commands/volumes.ts';
import type { Topic } from './help/flag-topics.ts';
import { addOutput } from './output-options.ts';
import { addSelection } from './selection.ts';
import type { Settings } from './settings.ts';
import { addDaemonFlags, addDirectFlags, toOption } from './settings-options.ts';
import type { Options } from './shell.ts';
import { addTransport } from './transport.ts';

/** A command: its usage, its line in the list of commands, its help text, and its own flags. */
type Entry = {
  readonly usage: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  readonly about: string;
  readonly flags?: (command: Command) => Command;
  /** Whether it asks a registry. */
  readonly asks?: boolean;
  /** The settings that apply without a daemon. */
  readonly direct?: readonly (Topic | keyof Settings)[];
};

const pulls: readonly Topic[] = ['registries', 'credentials', 'signatures', 'downloads', 'cache', 'layers'];

/** The commands that use the daemon, or the state directory directly. */
export function addCommands(program: Command, act: Act): void {
  const add = ({
    usage,
    aliases = [],
    summary,
    about,
    flags = same,
    asks = false,
    direct = [],
  }: Entry): Command => {
    const command = flags(program.command(usage).aliases(aliases).summary(summary).description(about));
    const reference = command.registeredArguments.find(argument => argument.name() === 'reference');
    reference?.argParser(verifyReference);
    addDaemonFlags(addOutput(command));
    return addDirectFlags(asks ? addTransport(command) : command, direct);
  };

  program.commandsGroup('Node:');
  add({
    usage: 'status',
    summary: 'show the daemon, its disk, its volumes and its pulls',
    about:
      'Shows the daemon, the disk of its cache, its volumes, broken configuration files and the pulls under way.',
    direct: ['registries', 'credentials', 'pods', 'signatures'],
  }).action(act(status, () => 'read'));

  program.commandsGroup('Artifacts:');
  add({
    usage: 'pull <reference>',
    summary: 'pull an artifact into the cache',
    about:
      'Pulls an artifact into the cache, so that a volume of it is mounted at once. An interrupted pull continues where it stopped when the command is repeated.',
    flags: command =>
      addSelection(
        addCredentials(
          command.option('--cancel', 'end the pulls of it that are under way, whoever wants them'),
        ),
      ),
    asks: true,
    direct: pulls,
  }).action(act(pull, ({ cancel }: Options) => (cancel === true ? 'ask' : 'begin')));
  add({
    usage: 'load <layout> [reference]',
    summary: 'load artifacts from an OCI layout',
    about:
      'Loads artifacts from an OCI layout, for nodes that reach no registry. The layout is a directory, a tar (plain, gzip or zstd), or - for a tar on standard input.',
    direct: ['signatures', 'cache', 'layers'],
  }).action(act(load, () => 'begin'));
  add({
    usage: 'resolve <reference>',
    summary: 'show what a reference names at its registry',
    about: 'Asks the registry which digest a reference names. Downloads nothing.',
    flags: addCredentials,
    asks: true,
    direct: ['registries', 'credentials'],
  }).action(act(resolve, () => 'ask'));
  add({
    usage: 'ls',
    aliases: ['list', 'images'],
    summary: 'list the artifacts of the cache',
    about:
      'Lists the artifacts of the cache. A row is a reference with one digest: VOLUMES counts the volumes that were mounted by that reference and show that digest, and PINNED says whether that reference was pinned with that digest.',
  }).action(act(ls, () => 'read'));
  add({
    usage: 'inspect <reference>',
    summary: 'show one artifact of the cache',
    about: 'Shows the layers of a cached artifact, who uses it, and the verdict of the signature policy.',
    flags: command =>
      addCredentials(
        command
          .option('--credentials', 'show where credentials for it are looked for and found instead')
          .option('--pod <namespace/name>', 'with --credentials: the credentials of that pod'),
      ),
    direct: ['registries', 'credentials', 'podPullSecrets', 'signatures'],
  }).action(act(inspect, ({ credentials }: Options) => (credentials === true ? 'ask' : 'read')));
  add({
    usage: 'rm <reference...>',
    aliases: ['rmi'],
    summary: 'remove references, and free space nothing else uses',
    about:
      'Removes references from the cache, and frees the space that nothing else uses. Prints what was removed, and what still uses content that stays.',
  }).action(act(rm, () => 'change'));
  add({
    usage: 'prune',
    summary: 'free everything that is not in use',
    about: 'Frees everything that no volume, no pull and no pin uses. At a terminal it asks first.',
    flags: command =>
      command
        .option('-y, --yes', 'free without a question')
        .option('--dry-run', 'list what would be freed, and free nothing'),
  }).action(act(prune, ({ dryRun }: Options) => (dryRun === true ? 'read' : 'change')));
  add({
    usage: 'pin <reference>',
    summary: 'keep an artifact from garbage collection',
    about: 'Keeps an artifact from garbage collection and from prune.',
  }).action(act(pin, () => 'change'));
  add({
    usage: 'unpin <reference>',
    summary: 'allow garbage collection again',
    about:
      'Allows garbage collection of a pinned artifact again. A reference ends its own pin, whatever it names now; a digest ends all of its pins; a repository with a digest ends the pins of that repository with it.',
  }).action(act(unpin, () => 'change'));
  add({
    usage: 'fsck',
    summary: 'verify all cached content against its digests',
    about: 'Verifies all cached content against its digests, and reports what is damaged.',
    flags: command =>
      command.option('--repair', 'take damaged content out of use, so that it is pulled again'),
  }).action(act(fsck, ({ repair }: Options) => (repair === true ? 'change' : 'read')));

  program.commandsGroup('Volumes:');
  add({
    usage: 'volumes',
    summary: 'list which artifact each pod has',
    about: 'Lists the volumes of this node, and which artifact each of them shows.',
    direct: ['signatures'],
  }).action(act(volumes, () => 'read'));
  add({
    usage: 'mount <reference> <dir>',
    summary: 'mount an artifact read-only at a directory',
    about: 'Mounts an artifact read-only at a directory. The directory is created if it does not exist.',
    flags: command => addSelection(addCredentials(command)),
    asks: true,
    direct: pulls,
  }).action(act(mount, () => 'begin'));
  add({
    usage: 'unmount <dir>',
    aliases: ['umount'],
    summary: 'unmount a directory mounted with mount',
    about: 'Unmounts a directory that was mounted with mount. Volumes of pods are left to kubelet.',
  }).action(act(unmount, () => 'change'));
}

function same(command: Command): Command {
  return command;
}

/** Validates a reference before anything is opened or created. @throws ArtifactError `invalid`. */
function verifyReference(text: string): string {
  if (!isDigestStart(text)) parseReference(text);
  return text;
}

function addCredentials(command: Command): Command {
  return command
    .addOption(toOption('authFile'))
    .addOption(new Option('--username <name>', 'registry username; needs --password-stdin'))
    .option('--password-stdin', 'read the registry password from standard input');
}

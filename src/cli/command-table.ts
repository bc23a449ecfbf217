import { type Command, Option } from 'commander';
import { isDigestStart } from '../oci/digest.ts';
import { parseReference } from '../oci/reference.ts';
import { invalidValue } from '../util/error.ts';
import type { Act, Use } from './act.ts';
import type { Topic } from './help/flag-topics.ts';
import { addOutput } from './output-options.ts';
import { addSelection } from './selection.ts';
import type { Settings } from './settings.ts';
import { addDaemonFlags, addDirectFlags, toOption } from './settings-options.ts';
import type { Action, Options } from './shell.ts';
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
  /** Loads its work, which only a run of this command needs. */
  readonly load: () => Promise<Action>;
  readonly use: (options: Options) => Use;
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
    load,
    use,
  }: Entry): void => {
    const command = flags(program.command(usage).aliases(aliases).summary(summary).description(about));
    const reference = command.registeredArguments.find(argument => argument.name() === 'reference');
    reference?.argParser(verifyReference);
    addDaemonFlags(addOutput(command));
    addDirectFlags(asks ? addTransport(command) : command, direct).action(act(load, use));
  };

  program.commandsGroup('Node:');
  add({
    usage: 'status',
    summary: 'show the daemon, its disk, its volumes and its pulls',
    about:
      'Shows the daemon, the disk of its cache, its volumes, those that fail, broken configuration files and the pulls under way.',
    direct: ['registries', 'credentials', 'pods', 'signatures'],
    load: async () => (await import('./commands/status.ts')).status,
    use: () => 'read',
  });

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
    load: async () => (await import('./commands/pull.ts')).pull,
    use: ({ cancel }) => (cancel === true ? 'read' : 'begin'),
  });
  add({
    usage: 'load <layout> [reference]',
    summary: 'load artifacts from an OCI layout',
    about:
      'Loads artifacts from an OCI layout, for nodes that reach no registry. The layout is a directory, a tar (plain, gzip or zstd), or - for a tar on standard input.',
    direct: ['signatures', 'cache', 'layers'],
    load: async () => (await import('./commands/load.ts')).load,
    use: () => 'begin',
  });
  add({
    usage: 'resolve <reference>',
    summary: 'show what a reference names at its registry',
    about: 'Asks the registry which digest a reference names. Downloads nothing.',
    flags: addCredentials,
    asks: true,
    direct: ['registries', 'credentials'],
    load: async () => (await import('./commands/resolve.ts')).resolve,
    use: () => 'ask',
  });
  add({
    usage: 'ls',
    aliases: ['list', 'images'],
    summary: 'list the artifacts of the cache',
    about:
      'Lists the artifacts of the cache. A row is a reference with one digest: VOLUMES counts the volumes that were mounted by that reference and show that digest, and PINNED says whether that reference was pinned with that digest.',
    load: async () => (await import('./commands/ls.ts')).ls,
    use: () => 'read',
  });
  add({
    usage: 'inspect <reference>',
    summary: 'show one artifact of the cache',
    about: 'Shows the layers of a cached artifact, who uses it, and the verdict of the signature policy.',
    flags: command =>
      addCredentials(
        command
          .option('--credentials', 'show only where credentials for it are looked for, and which are used')
          .option('--pod <namespace/name>', 'with --credentials: the credentials of that pod'),
      ),
    direct: ['registries', 'credentials', 'podPullSecrets', 'signatures'],
    load: async () => (await import('./commands/inspect.ts')).inspect,
    use: ({ credentials }) => (credentials === true ? 'ask' : 'read'),
  });
  add({
    usage: 'rm <reference...>',
    aliases: ['rmi'],
    summary: 'remove references, and free space nothing else uses',
    about:
      'Removes references from the cache, and frees the space that nothing else uses. Prints what was removed, and what still uses content that stays.',
    load: async () => (await import('./commands/collect.ts')).rm,
    use: () => 'change',
  });
  add({
    usage: 'prune',
    summary: 'free everything that is not in use',
    about:
      'Frees everything that no volume, no pull and no pin uses. It asks first. Without a terminal, which includes `kubectl exec` without -it, it frees only with --yes. Run prune --dry-run first.',
    flags: command =>
      command
        .option('-y, --yes', 'free without a question')
        .option('--dry-run', 'list what would be freed, and free nothing'),
    load: async () => (await import('./commands/collect.ts')).prune,
    use: ({ dryRun }) => (dryRun === true ? 'read' : 'change'),
  });
  add({
    usage: 'pin <reference>',
    summary: 'keep an artifact from garbage collection',
    about: 'Keeps an artifact from garbage collection and from prune.',
    load: async () => (await import('./commands/pins.ts')).pin,
    use: () => 'change',
  });
  add({
    usage: 'unpin <reference>',
    summary: 'allow garbage collection again',
    about:
      'Allows garbage collection of a pinned artifact again. A reference ends its own pin, whatever it names now; a digest ends all of its pins; a repository with a digest ends the pins of that repository with it.',
    load: async () => (await import('./commands/pins.ts')).unpin,
    use: () => 'change',
  });
  add({
    usage: 'fsck',
    summary: 'verify all cached content against its digests',
    about: 'Verifies all cached content against its digests, and reports what is damaged.',
    flags: command =>
      command.option('--repair', 'take damaged content out of use, so that it is pulled again'),
    load: async () => (await import('./commands/fsck.ts')).fsck,
    use: ({ repair }) => (repair === true ? 'change' : 'read'),
  });

  program.commandsGroup('Volumes:');
  add({
    usage: 'volumes',
    summary: 'list which artifact each pod has',
    about: 'Lists the volumes of this node, and which artifact each of them shows.',
    direct: ['signatures'],
    load: async () => (await import('./commands/volumes.ts')).volumes,
    use: () => 'read',
  });
  add({
    usage: 'mount <reference> <dir>',
    summary: 'mount an artifact read-only at a directory',
    about:
      'Mounts an artifact read-only at a directory. The directory is created if it does not exist, in one that does.',
    flags: command => addSelection(addCredentials(command)),
    asks: true,
    direct: pulls,
    load: async () => (await import('./commands/mount.ts')).mount,
    use: () => 'begin',
  });
  add({
    usage: 'unmount <dir>',
    aliases: ['umount'],
    summary: 'unmount a directory mounted with mount',
    about: 'Unmounts a directory that was mounted with mount. Volumes of pods are left to kubelet.',
    load: async () => (await import('./commands/mount.ts')).unmount,
    use: () => 'change',
  });
}

function same(command: Command): Command {
  return command;
}

/** Validates a reference before anything is opened or created. @throws ArtifactError `invalid`. */
function verifyReference(text: string): string {
  if (isDigestStart(text)) return text;
  // As a reference it would be a repository named after the algorithm.
  if (/^sha(?:256|512):/.test(text))
    throw invalidValue('digest', text, 'must have at least four hex digits, in lower case, after the colon');
  parseReference(text);
  return text;
}

function addCredentials(command: Command): Command {
  return command
    .addOption(toOption('authFile'))
    .addOption(new Option('--username <name>', 'registry username; needs --password-stdin'))
    .option('--password-stdin', 'read the registry password from standard input');
}

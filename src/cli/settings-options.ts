import { type Command, Option } from 'commander';
import { formatFlag, formatVariable, named } from './command-line.ts';
import { flags } from './flags.ts';
import { headings, type Topic, toKeys } from './help/flag-topics.ts';
import type { Settings } from './settings.ts';

/** All flags of `serve`, by topic. */
export function addServeFlags(command: Command): Command {
  for (const topic of Object.keys(headings) as Topic[])
    for (const key of toKeys([topic])) command.addOption(toOption(key).helpGroup(headings[topic]));
  return command;
}

/** The flags that locate the daemon, or the state directory without one. */
export function addDaemonFlags(command: Command): Command {
  const { endpoint, stateDir } = flags;
  const says: Partial<Record<keyof Settings, string>> = {
    endpoint: `CSI socket of the daemon (${formatVariable('endpoint')}; default plugins/DRIVER-NAME/csi.sock in --kubelet-dir, then ${endpoint.preset})`,
    stateDir: `state directory to use directly, without the daemon (default ${stateDir.preset}, if no daemon answers)`,
  };
  for (const key of toKeys(['daemon'])) {
    const option = toOption(key).helpGroup(headings.daemon);
    option.description = says[key] ?? option.description;
    command.addOption(option);
  }
  return command;
}

/** What only the daemon does, in the background. */
const background: readonly (keyof Settings)[] = [
  'prefetch',
  'prefetchRate',
  'prefetchResources',
  'prefetchLabels',
  'onDemand',
  'onDemandPatience',
  'chunkLists',
  'holder',
  'scrubInterval',
  'originSlots',
  'originPatience',
  'alwaysJitter',
  'durablePublish',
];

/** The flags that apply to a command without a daemon. A daemon uses its own. */
export function addDirectFlags(command: Command, wanted: readonly (Topic | keyof Settings)[]): Command {
  const added = command.options.map(({ long }) => long);
  for (const key of toKeys([...wanted, 'logLevel']))
    if (!background.includes(key) && !added.includes(formatFlag(key)))
      command.addOption(toOption(key).helpGroup('Without a daemon:'));
  return command;
}

/** A flag with its default, and its variable if that has a name of its own. */
export function toOption(key: keyof Settings): Option {
  const { value, says, preset, variable, parse } = flags[key];
  // The help is the same on every machine.
  const shown = key === 'nodeId' ? "the host's name" : preset;
  const notes = [shown === '' ? undefined : `default ${shown}`, variable].filter(note => note !== undefined);
  const bracketed = value.startsWith('[') ? value : `<${value}>`;
  const suffix = notes.length === 0 ? '' : ` (${notes.join('; ')})`;
  const option = new Option(`${formatFlag(key)} ${bracketed}`, `${says}${suffix}`);
  // An optional value may be the next operand, whose absence must not be the error.
  if (option.optional) option.argParser(text => named(formatFlag(key), () => void parse(text)) ?? text);
  return option;
}

import type { Command, Option } from 'commander';

/** The shells with a completion script. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type ShellName = (typeof shells)[number];

/** A script that completes commands, flags, values, and references of a program. */
export function formatCompletion(program: Command, shell: ShellName): string {
  const commands = toCommands(program);
  switch (shell) {
    case 'bash':
      return formatBash(program.name(), commands);
    case 'zsh':
      return formatZsh(program.name(), commands);
    case 'fish':
      return formatFish(program.name(), commands);
  }
}

type Completed = {
  readonly names: readonly string[];
  readonly says: string;
  readonly flags: readonly Flag[];
  /** The kind of its operands. */
  readonly operands: 'references' | 'files' | 'commands' | 'shells' | 'none';
};
type Flag = {
  readonly names: readonly string[];
  readonly says: string;
  readonly value: 'none' | 'file' | 'other' | readonly string[];
};

function toCommands(program: Command): readonly Completed[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map(command => ({
      names: [command.name(), ...command.aliases()],
      says: command.summary() || command.description(),
      flags: command.createHelp().visibleOptions(command).map(toFlag),
      operands: toOperands(command),
    }));
}

function toOperands(command: Command): Completed['operands'] {
  const first = command.registeredArguments[0]?.name();
  if (first === undefined) return 'none';
  if (/^references?$/.test(first)) return 'references';
  return first === 'command' ? 'commands' : first === 'shell' ? 'shells' : 'files';
}

function toFlag({ short, long, description, argChoices, required, optional, flags }: Option): Flag {
  const names = [short, long].filter(name => name !== undefined);
  const value =
    !required && !optional ? 'none' : (argChoices ?? (/FILE|DIR|PATH/.test(flags) ? 'file' : 'other'));
  return { names, says: description, value };
}

const references = (name: string): string => `${name} ls --quiet 2>/dev/null`;

function formatBash(name: string, commands: readonly Completed[]): string {
  const symbol = name.replaceAll('-', '_');
  const words = commands.flatMap(command => command.names).join(' ');
  const cases = commands.map(command => {
    const values = command.flags.flatMap(({ names, value }) =>
      value === 'none' ? [] : [`        ${names.join('|')}) ${bashValue(value)}; return ;;`],
    );
    const flags = command.flags.flatMap(flag => flag.names).join(' ');
    return `    ${command.names.join('|')})
      case "$previous" in
${values.join('\n')}
      esac
      if [[ $current == -* ]]; then COMPREPLY=($(compgen -W '${flags}' -- "$current"))
      else ${bashOperands(name, words, command.operands)}
      fi ;;`;
  });
  return `# bash completion for ${name}
_${symbol}_references() {
  local reference
  while IFS= read -r reference; do
    [[ $reference == "$current"* ]] && COMPREPLY+=("$reference")
  done < <(${references(name)})
}
_${symbol}() {
  local current previous
  # A reference and a digest have colons, at which bash breaks words.
  if declare -F _get_comp_words_by_ref >/dev/null; then _get_comp_words_by_ref -n : -c current -p previous
  else current=\${COMP_WORDS[COMP_CWORD]}; previous=\${COMP_WORDS[COMP_CWORD - 1]}
  fi
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${words}' -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$current"; fi
}
complete -F _${symbol} ${name}
`;
}

function bashValue(value: Exclude<Flag['value'], 'none'>): string {
  if (value === 'file') return 'COMPREPLY=($(compgen -f -- "$current"))';
  return value === 'other' ? 'COMPREPLY=()' : `COMPREPLY=($(compgen -W '${value.join(' ')}' -- "$current"))`;
}

function bashOperands(name: string, words: string, operands: Completed['operands']): string {
  switch (operands) {
    case 'references':
      return `_${name.replaceAll('-', '_')}_references`;
    case 'files':
      return 'COMPREPLY=($(compgen -f -- "$current"))';
    case 'commands':
      return `COMPREPLY=($(compgen -W '${words}' -- "$current"))`;
    case 'shells':
      return `COMPREPLY=($(compgen -W '${shells.join(' ')}' -- "$current"))`;
    case 'none':
      return 'COMPREPLY=()';
  }
}

function formatZsh(name: string, commands: readonly Completed[]): string {
  const symbol = name.replaceAll('-', '_');
  const list = commands.flatMap(({ names, says }) => names.map(word => `    ${quote(`${word}:${says}`)}`));
  const cases = commands.map(({ names, flags, operands }) => {
    const specs = flags.map(flag => `        ${zshFlag(flag)}`);
    return `      ${names.join('|')})
        _arguments \\
${[...specs, `        ${zshOperands(operands, symbol)}`].join(' \\\n')} ;;`;
  });
  return `#compdef ${name}
# zsh completion for ${name}
_${symbol}_references() {
  local -a found
  found=(\${(f)"$(${references(name)})"})
  compadd -a found
}
_${symbol}() {
  local -a commands
  commands=(
${list.join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${cases.join('\n')}
  esac
}
compdef _${symbol} ${name}
`;
}

function zshFlag({ names, says, value }: Flag): string {
  const action =
    value === 'none'
      ? ''
      : value === 'file'
        ? ':file:_files'
        : value === 'other'
          ? ':value:'
          : `:value:(${value.join(' ')})`;
  const text = `[${says.replaceAll(/[[\]:]/g, character => `\\${character}`)}]${action}`;
  const [first = '', second] = names;
  if (second === undefined) return quote(`${first}${text}`);
  return `${quote(`(${first} ${second})`)}{${first},${second}}${quote(text)}`;
}

function zshOperands(operands: Completed['operands'], symbol: string): string {
  switch (operands) {
    case 'references':
      return quote(`*:reference:_${symbol}_references`);
    case 'files':
      return quote('*:file:_files');
    case 'commands':
      return quote('1:command:($commands)');
    case 'shells':
      return quote(`1:shell:(${shells.join(' ')})`);
    case 'none':
      return quote('*: :');
  }
}

function formatFish(name: string, commands: readonly Completed[]): string {
  const lines = [`# fish completion for ${name}`, `complete -c ${name} -f`];
  for (const { names, says, flags, operands } of commands) {
    for (const word of names)
      lines.push(`complete -c ${name} -n __fish_use_subcommand -a ${word} -d ${quote(says)}`);
    const within = `-n ${quote(`__fish_seen_subcommand_from ${names.join(' ')}`)}`;
    for (const { names: flagNames, says: flagSays, value } of flags) {
      const written = flagNames.map(flag =>
        flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
      );
      const takes =
        value === 'none'
          ? ''
          : value === 'file'
            ? ' -r -F'
            : value === 'other'
              ? ' -x'
              : ` -x -a ${quote(value.join(' '))}`;
      lines.push(`complete -c ${name} ${within} ${written.join(' ')}${takes} -d ${quote(flagSays)}`);
    }
    if (operands === 'references')
      lines.push(`complete -c ${name} ${within} -a ${quote(`(${references(name)})`)}`);
    if (operands === 'files') lines.push(`complete -c ${name} ${within} -F`);
    if (operands === 'shells') lines.push(`complete -c ${name} ${within} -a ${quote(shells.join(' '))}`);
  }
  return `${lines.join('\n')}\n`;
}

/** A word of a shell in single quotes. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

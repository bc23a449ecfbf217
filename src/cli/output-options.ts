import { type Command, Option } from 'commander';
import { type OutputFormat, outputFormats } from './output-format.ts';
import type { Options, Shell, Terminal } from './shell.ts';

/** The flags of every command with a result. */
export function addOutput(command: Command): Command {
  return command
    .addOption(
      new Option('-o, --output <format>', 'format of the result').choices(outputFormats).default('text'),
    )
    .addOption(
      new Option('-q, --quiet', 'print names only, one a line; the same as --output name').conflicts(
        'output',
      ),
    )
    .option('--timeout <duration>', 'give up after this time, such as 30s or 5m; 0: never')
    .option('--no-trunc', 'print whole digests, and lines wider than the terminal');
}

/** The output settings of these flags. Tables are cut to the width of a terminal only. */
export function toOutput(
  options: Options,
  { stdout }: Pick<Terminal, 'stdout'>,
): Pick<Shell, 'output' | 'columns' | 'whole'> {
  const format = outputFormats.find(known => known === options['output']) ?? 'text';
  const output: OutputFormat = options['quiet'] === true ? 'name' : format;
  const whole = options['trunc'] === false;
  return { output, whole, columns: whole || stdout.isTTY !== true ? undefined : stdout.columns };
}

/** Whether a command line, valid or not, asks for JSON, so that its error is JSON. */
export function asksForJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, index) =>
      word === '--output=json' ||
      word === '-ojson' ||
      (word === 'json' && (argv[index - 1] === '--output' || argv[index - 1] === '-o')),
  );
}

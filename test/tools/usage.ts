import process from 'node:process';
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** The options of a program of the project, without positionals. */
type Options = NonNullable<ParseArgsConfig['options']>;

/**
 * Reads the command line of a program of the project. `--help` prints its usage, and a wrong option that and what is
 * wrong; both end the program.
 */
export function readOptions<const T extends Options>(
  usage: string,
  options: T,
): ReturnType<typeof parseArgs<{ options: T }>>['values'] {
  if (process.argv.slice(2).some(word => word === '--help' || word === '-h')) {
    console.log(`usage: ${usage}`);
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\nusage: ${usage}`);
    process.exit(2);
  }
}

import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** The program from source. */
export const sourceMain: string = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

/** The variable by which test/run.ts names the build that it made, which starts with a third of the CPU time. */
export const mainVariable = 'OCI_ARTIFACT_TEST_MAIN';

/** The file of the program that tests start with Node: the build, or without one the source. */
export const main: string = process.env[mainVariable] ?? sourceMain;

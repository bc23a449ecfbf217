import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import process from 'node:process';

/**
 * Writes a program that runs `source` as a Node module. It is renamed into place, because a file that another process
 * has open for writing cannot be executed (ETXTBSY), and children of tests inherit such files.
 */
export async function writeScript(path: string, source: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.mjs`, source);
  await writeFile(`${path}.new`, `#!/bin/sh\nexec '${process.execPath}' '${path}.mjs' "$@"\n`, {
    mode: 0o755,
  });
  await rename(`${path}.new`, path);
}

/**
 * The source of a plugin that appends each request to a log, one per line, and returns what `answer` (JavaScript) makes
 * of `request`.
 */
export function pluginSource(log: string, answer: string): string {
  return `
import { appendFileSync, readFileSync } from 'node:fs';
const request = JSON.parse(readFileSync(0, 'utf8'));
appendFileSync(${JSON.stringify(log)}, JSON.stringify({ request, args: process.argv.slice(2), env: process.env.PLUGIN_TEST }) + '\\n');
const host = request.image.slice(0, request.image.indexOf('/'));
const answer = (${answer});
process.stdout.write(JSON.stringify({ kind: 'CredentialProviderResponse', apiVersion: request.apiVersion, ...answer }));
`;
}

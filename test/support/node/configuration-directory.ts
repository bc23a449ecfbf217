import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ConfigurationFiles } from '../../../src/registry/config/configuration.ts';

/** A directory for each configuration: registries.conf, registries.conf.d, hosts and certs. */
export type ConfigurationDirectory = AsyncDisposable & {
  readonly path: string;
  readonly files: ConfigurationFiles;
  /** Writes files by their path in the directory. */
  write(files: Readonly<Record<string, string>>): Promise<void>;
};

export async function openConfigurationDirectory(
  files: Readonly<Record<string, string>> = {},
): Promise<ConfigurationDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'configuration-'));
  const write = async (texts: Readonly<Record<string, string>>): Promise<void> => {
    for (const [name, text] of Object.entries(texts)) {
      const file = join(path, name);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
    }
  };
  await Promise.all(['registries.conf.d', 'hosts', 'certs'].map(name => mkdir(join(path, name))));
  await write({ 'registries.conf': '', ...files });
  return {
    path,
    files: {
      file: join(path, 'registries.conf'),
      directory: join(path, 'registries.conf.d'),
      aliasesFile: join(path, 'short-name-aliases.conf'),
      hostsDir: join(path, 'hosts'),
      certsDir: join(path, 'certs'),
      caFile: undefined,
    },
    write,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { startChild, waitUntil } from '../../support/node/child.ts';
import { unmountBelow } from '../../support/os/mounts.ts';
import { toolPath } from '../../support/project/tools.ts';

/** What stands in for a stage or an image of the Dockerfile: a directory, or an image of an OCI layout. */
export type Context = string | { readonly layout: string; readonly digest: string };

export type Build = {
  /** The directory with the Dockerfile. */
  readonly source: string;
  /** As in `linux/amd64`. */
  readonly platforms: readonly string[];
  /** By name, or by name and platform: `app::linux/amd64`. */
  readonly contexts?: Readonly<Record<string, Context>>;
  readonly arguments?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** Files that steps may read, and that the image does not contain. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** The format of the layers; gzip by default. */
  readonly compression?: 'estargz' | 'gzip' | 'zstd';
};

export type BuildKit = AsyncDisposable & {
  /**
   * Writes the image as an OCI layout into a directory; its index.json names the index or, for one platform, the
   * manifest. @throws with the output of the build.
   */
  readonly build: (build: Build, into: string) => Promise<void>;
};

/** Starts a builder with an empty cache. Disposing it ends it and removes everything it kept. */
export async function startBuildKit(): Promise<BuildKit> {
  const directory = mkdtempSync(join(tmpdir(), 'oac-bk-'));
  const address = `unix://${join(directory, 'bk.sock')}`;
  const config = join(directory, 'buildkitd.toml');
  // JSON strings are TOML strings. Steps use the network of the machine, where a mirror or a proxy may be.
  writeFileSync(
    config,
    `root = ${JSON.stringify(join(directory, 'root'))}
[grpc]
address = [${JSON.stringify(address)}]
[otel]
socketPath = ${JSON.stringify(join(directory, 'otel.sock'))}
[cdi]
disabled = true
[worker.oci]
enabled = true
binary = ${JSON.stringify(toolPath('runc'))}
networkMode = "host"
[worker.containerd]
enabled = false
`,
  );
  const env = { ...process.env, PATH: `${process.env['PATH']}${delimiter}${dirname(toolPath('runc'))}` };
  const daemon = await startChild(toolPath('buildkitd'), ['--config', config], { env });
  const buildctl = async (args: readonly string[]): Promise<void> =>
    void (await promisify(execFile)(toolPath('buildctl'), ['--addr', address, ...args], {
      env,
      maxBuffer: 64 << 20,
    }));
  const dispose = async (): Promise<void> => {
    await daemon.end('SIGTERM');
    unmountBelow(directory);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await waitUntil(
      daemon,
      async () =>
        buildctl(['debug', 'workers']).then(
          () => true,
          () => false,
        ),
      'ready to build',
    );
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    build: async (build, into) => buildctl(['build', ...toArguments(build, into)]),
    [Symbol.asyncDispose]: dispose,
  };
}

function toArguments(build: Build, into: string): readonly string[] {
  const {
    source,
    platforms,
    contexts = {},
    arguments: values = {},
    labels = {},
    secrets = {},
    compression,
  } = build;
  const options = (prefix: string, of: Readonly<Record<string, string>>): readonly string[] =>
    Object.entries(of).map(([name, value]) => `--opt=${prefix}:${name}=${value}`);
  return [
    '--progress=plain',
    '--frontend=dockerfile.v0',
    `--local=context=${source}`,
    `--local=dockerfile=${source}`,
    ...(platforms.length === 0 ? [] : [`--opt=platform=${platforms.join(',')}`]),
    ...options('build-arg', values),
    ...options('label', labels),
    ...Object.entries(contexts).flatMap(([name, context], number) => toContext(name, context, number)),
    ...Object.entries(secrets).map(([name, path]) => `--secret=id=${name},src=${path}`),
    // Times are rewritten only in layers of gzip.
    `--output=type=oci,dest=${into},tar=false,${
      compression === undefined
        ? 'rewrite-timestamp=true'
        : `compression=${compression},force-compression=true,oci-mediatypes=true`
    }`,
  ];
}

function toContext(name: string, context: Context, number: number): readonly string[] {
  const from = `context${number}`;
  return typeof context === 'string'
    ? [`--local=${from}=${context}`, `--opt=context:${name}=local:${from}`]
    : [
        `--oci-layout=${from}=${context.layout}`,
        `--opt=context:${name}=oci-layout:${from}@${context.digest}`,
      ];
}

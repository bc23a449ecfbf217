import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blobPath, type ImageConfig, readManifest } from '../../tools/image/layout.ts';
import { type Child, startChild } from '../node/child.ts';
import type { MountNamespace } from '../os/namespace.ts';
import { runProgram } from '../os/program.ts';
import { toolPath } from '../project/tools.ts';

/** An image as a container runtime runs it: its own filesystem, read-only, and its own entry point. */
export type Container = Child & {
  /** As `kubectl exec`: runs a program inside; returns its output. @throws if it fails. */
  readonly exec: (...command: string[]) => string;
};

export type ContainerOptions = {
  readonly directory: string;
  /** Where it runs; mounts of the container below shared mounts appear there. */
  readonly host: MountNamespace;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Directories of the host by their paths in the container, with mount propagation Bidirectional. */
  readonly volumes: Readonly<Record<string, string>>;
};

/** A privileged container has all; runc refuses those that this machine does not have. These are what the daemon needs. */
const capabilities = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'LINUX_IMMUTABLE',
  'SYS_ADMIN',
].map(name => `CAP_${name}`);

/** Unpacks the layers of a manifest into a directory; none of them removes a file of another. */
export function unpackImage(layout: string, digest: string, into: string): void {
  mkdirSync(into);
  for (const layer of readManifest(layout, digest).layers)
    runProgram('tar', '-xzf', blobPath(layout, layer.digest), '-C', into, '--keep-directory-symlink');
}

/** Starts an unpacked image by runc, as a privileged container. Disposing it kills it. */
export async function startContainer(
  filesystem: string,
  { config }: ImageConfig,
  options: ContainerOptions,
): Promise<Container> {
  const { directory, host, args, env, volumes } = options;
  const bundle = join(directory, 'bundle');
  mkdirSync(bundle);
  const spec = {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args: [...config.Entrypoint, ...args],
      env: [...config.Env, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    root: { path: filesystem, readonly: true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
      { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'ro'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777'] },
      ...Object.entries(volumes).map(([destination, source]) => ({
        destination,
        type: 'bind',
        source,
        options: ['rbind', 'rshared'],
      })),
    ],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'uts' }],
      rootfsPropagation: 'rshared',
    },
  };
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
  const runc = [toolPath('runc'), '--root', join(directory, 'runc')];
  const enter = ['--target', String(host.pid), '--mount', ...runc];
  const child = await startChild('nsenter', [...enter, 'run', '--bundle', bundle, 'it']);
  return {
    ...child,
    exec: (...command) => host.run(runc[0] ?? '', ...runc.slice(1), 'exec', 'it', ...command),
    [Symbol.asyncDispose]: async () => {
      if (child.alive()) host.run(runc[0] ?? '', ...runc.slice(1), 'delete', '--force', 'it');
      await child[Symbol.asyncDispose]();
    },
  };
}

import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Child, startChild, waitUntil } from '../node/child.ts';
import type { NetworkHost } from '../os/network.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { toolPath } from '../project/tools.ts';

/** The port on which it listens, as in the example. */
export const nginxPort = 5000;
const example = new URL('../../../examples/nginx-cache.conf', import.meta.url);

/** Starts nginx as a cache with the configuration of the examples, for a registry that speaks plain HTTP. */
export async function startNginxCache(host: NetworkHost, registry: string): Promise<Child> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${join(directory.path, name)};`,
  );
  const text = (await readFile(example, 'utf8'))
    .replaceAll('https://registry.example.com', `http://${registry}`)
    .replaceAll('/var/cache/nginx', directory.path)
    .replace('listen 5000', `listen ${host.address}:${nginxPort}`)
    .replace('http {', ['http {', ...temporary].join('\n'));
  const file = join(directory.path, 'nginx.conf');
  await writeFile(file, text);
  // One process: a signal to it reaches everything.
  const globals = `daemon off; master_process off; user root; pid ${directory.path}/pid; error_log stderr;`;
  const options = ['-e', 'stderr', '-p', directory.path, '-c', file, '-g', globals];
  const [program = '', ...args] = [...host.enter, toolPath('nginx'), ...options];
  const child = stack.use(await startChild(program, args));
  await waitUntil(child, () => isListening(host), 'listening');
  const resources = stack.move();
  return {
    ...child,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Asked from the host itself, which nothing else can reach. */
function isListening({ address, enter }: NetworkHost): boolean {
  const [program, ...args] = [...enter, 'bash', '-c', `: < /dev/tcp/${address}/${nginxPort}`];
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

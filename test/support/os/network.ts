import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:net';
import process from 'node:process';

/** A network namespace with one address. It ends with the network, or when the test dies. */
export type NetworkHost = {
  /** IPv4. */
  readonly address: string;
  /** The words before a command that runs it in this namespace; the process stays the same. */
  readonly enter: readonly string[];
};

/** Hosts that reach each other over one bridge, and nothing else. */
export type Network = AsyncDisposable & { readonly hosts: readonly NetworkHost[] };

/** Opens a network of so many hosts, at most 200. Nothing of it is visible in the namespace of the test. */
export async function openNetwork(count: number): Promise<Network> {
  await using stack = new AsyncDisposableStack();
  const hub = stack.use(await openNamespace());
  hub.run('ip link set lo up; ip link add bridge type bridge; ip link set bridge up');
  const hosts: NetworkHost[] = [];
  for (let nth = 1; nth <= count; nth++) {
    const host = stack.use(await openNamespace());
    const address = `10.99.0.${nth}`;
    hub.run(
      `ip link add port${nth} type veth peer name net netns ${host.pid}; ip link set port${nth} master bridge up`,
    );
    host.run(`ip link set lo up; ip address add ${address}/24 dev net; ip link set net up`);
    hosts.push({ address, enter: host.enter });
  }
  const namespaces = stack.move();
  return { hosts, [Symbol.asyncDispose]: () => namespaces.disposeAsync() };
}

type Namespace = AsyncDisposable & {
  readonly pid: number;
  readonly enter: readonly string[];
  /** Runs a script of sh. @throws if a command of it fails. */
  run(script: string): void;
};

async function openNamespace(): Promise<Namespace> {
  // cat ends with its standard input.
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo in; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(holder, 'exit');
  await once(holder.stdout, 'data', { signal: AbortSignal.timeout(10_000) });
  const { pid = 0 } = holder;
  const enter = ['nsenter', '--target', String(pid), '--net'];
  return {
    pid,
    enter,
    run(script) {
      const [program, ...args] = [...enter, 'sh', '-euc', script];
      const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`${script}: ${stderr}`);
    },
    [Symbol.asyncDispose]: async () => {
      holder.stdin.end();
      await ended;
    },
  };
}

const listening = `require('node:net').createServer().listen(Number(process.argv[2]), process.argv[1], function () { process.send('here', this); })`;

/** A server that listens on that host, by default on a free port, and accepts connections in this process. */
export async function listenOn({ address, enter }: NetworkHost, port = 0): Promise<Server> {
  const [program, ...args] = [...enter, process.execPath, '--eval', listening, address, String(port)];
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit');
  const [, server] = (await once(child, 'message', { signal: AbortSignal.timeout(30_000) })) as [
    unknown,
    Server,
  ];
  child.kill('SIGKILL');
  await ended;
  return server;
}

import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, startChild } from '../support/node/child.ts';
import type { NetworkHost } from '../support/os/network.ts';

/** The variable by which npm run test:spegel names the program of a real Spegel. */
export const spegelVariable = 'OCI_ARTIFACT_TEST_SPEGEL';
export const realSpegel: string | undefined = process.env[spegelVariable];

/** The port of its mirror on each address; the next ones are those of its table of peers, its metrics and its bootstrap. */
export const mirrorPort = 5010;

/** A Spegel that runs until it is disposed. `output`: what it wrote, in all its runs. */
export type Spegel = AsyncDisposable & { output(): string };

/** Runs Spegel as kubelet does, which starts it again whenever it ends, with the options that docs/sharing.md recommends. */
export async function runSpegel(
  program: string,
  host: NetworkHost,
  neighbors: readonly NetworkHost[],
  socket: string,
): Promise<Spegel> {
  const [first = ''] = [host, ...neighbors].map(({ address }) => address).toSorted();
  const args = [
    'registry',
    `--containerd-sock=${socket}`,
    `--registry-addr=:${mirrorPort}`,
    `--router-addr=:${mirrorPort + 1}`,
    `--metrics-addr=:${mirrorPort + 2}`,
    '--bootstrap-kind=http',
    `--http-bootstrap-addr=:${mirrorPort + 3}`,
    '--debug-web-enabled=false',
  ];
  const bootstrap = `http://${first}:${mirrorPort + 3}`;
  // An empty value can only be given by a variable. HTTP_BOOTSTRAP_PEER has another name after 0.7.
  const env = {
    ...process.env,
    CONTAINERD_CONTENT_PATH: '',
    HTTP_BOOTSTRAP_PEER: bootstrap,
    HTTP_BOOTSTRAP_URL: `${bootstrap}/id`,
  };
  const [command = '', ...words] = [...host.enter, program, ...args];
  let past = '';
  const start = (): Promise<Child> => startChild(command, words, { env });
  let child = await start();
  const stop = new AbortController();
  const kept = (async () => {
    while (!stop.signal.aborted) {
      if (!child.alive()) {
        past += child.output();
        child = await start();
      }
      await sleep(200);
    }
  })();
  return {
    output: () => past + child.output(),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await kept;
      await child[Symbol.asyncDispose]();
    },
  };
}

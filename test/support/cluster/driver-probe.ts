import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';
import { loadDefinitions } from '../../../src/grpc/edge/definitions.ts';
import { registrationPath } from '../../../src/grpc/registration.ts';
import { openCalls } from '../node/calls.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { driverName } from './driver.ts';

/** What the calls to a socket showed. */
export type Probed = {
  readonly calls: number;
  readonly failures: readonly string[];
  /** The longest time between two answers, ms. */
  readonly longestGapMs: number;
};

type Probes = { readonly driver: Probed; readonly registration: Probed };

const everyMs = 100;

/**
 * Calls the driver ten times a second, on a connection of its own each time as kubelet does: at its own socket, and at
 * the one by which kubelet registers it. `root`: the root directory of the node.
 */
export async function probeDriver(root: string): Promise<{ stop(): Promise<Probes> }> {
  const { csi, pluginregistration } = loadDefinitions();
  const directory = await temporaryDirectory();
  const kubeletDir = join(directory.path, 'kubelet'); // a short path, for sockets
  await symlink(join(root, 'var/lib/kubelet'), kubeletDir);
  const stopping = new AbortController();
  const driver = probe(stopping.signal, join(kubeletDir, 'plugins', driverName, 'csi.sock'), client =>
    openCalls(client, csi.v1.Node.service).NodeGetInfo({}),
  );
  const registration = probe(stopping.signal, registrationPath(kubeletDir, driverName), client =>
    openCalls(client, pluginregistration.Registration.service).GetInfo({}),
  );
  return {
    async stop() {
      stopping.abort();
      const probes = { driver: await driver, registration: await registration };
      await directory[Symbol.asyncDispose]();
      return probes;
    },
  };
}

async function probe(
  signal: AbortSignal,
  socket: string,
  call: (client: Client) => Promise<unknown>,
): Promise<Probed> {
  const failures: string[] = [];
  const answers: number[] = [performance.now()];
  let calls = 0;
  const ask = async (): Promise<void> => {
    const client = new Client(`unix:${socket}`, credentials.createInsecure());
    try {
      await call(client);
      answers.push(performance.now());
    } catch (thrown) {
      failures.push(String(thrown));
    } finally {
      client.close();
    }
  };
  const asked: Promise<void>[] = [];
  for (; !signal.aborted; calls++) {
    asked.push(ask()); // the next one does not wait for it
    await sleep(everyMs);
  }
  await Promise.all(asked);
  const gaps = answers.map((at, index) => at - (answers[index - 1] ?? at));
  return { calls, failures, longestGapMs: Math.max(...gaps) };
}

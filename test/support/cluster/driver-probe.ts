import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';
import { loadDefinitions } from '../../../src/grpc/edge/definitions.ts';
import { registrationPath } from '../../../src/grpc/registration.ts';
import { openCalls } from '../node/calls.ts';
import { cpuWaitOf } from '../os/cpu-time.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import type { Cluster } from './cluster.ts';
import { driverName } from './driver.ts';
import { openStallClock } from './driver-cgroups.ts';

/** What the calls to a socket showed. */
export type Probed = {
  readonly calls: number;
  readonly failures: readonly string[];
  /** The longest time between two answers. */
  readonly longest: Gap;
};

/** Milliseconds; `stalled`: for which the driver, or this process, was ready and waited for a CPU or the disk. */
type Gap = { readonly ms: number; readonly stalled: number };

/** When an answer came, and how long had been waited until then. */
type Answer = { readonly at: number; readonly stalled: number };

type Probes = { readonly driver: Probed; readonly registration: Probed };

const everyMs = 100;
/** How often processes of the driver are looked for. */
const findEveryMs = 500;

/** The time between two answers in which the driver did not answer although it could run: the longest. */
export function longestGap(answers: readonly Answer[]): Gap {
  const gaps = answers.slice(1).map((answer, index) => {
    const { at, stalled } = answers[index] ?? answer;
    return { ms: answer.at - at, stalled: answer.stalled - stalled };
  });
  return gaps.reduce((most, gap) => (gap.ms - gap.stalled > most.ms - most.stalled ? gap : most), none);
}

const none: Gap = { ms: 0, stalled: 0 };

/**
 * Calls the driver ten times a second, on a connection of its own each time as kubelet does: at its own socket, and at
 * the one by which kubelet registers it.
 */
export async function probeDriver({
  root,
  cgroup,
}: Pick<Cluster, 'root' | 'cgroup'>): Promise<{ stop(): Promise<Probes> }> {
  const { csi, pluginregistration } = loadDefinitions();
  const directory = await temporaryDirectory();
  const kubeletDir = join(directory.path, 'kubelet'); // a short path, for sockets
  await symlink(join(root, 'var/lib/kubelet'), kubeletDir);
  const stopping = new AbortController();
  const stalls = openStallClock(cgroup);
  stalls.find();
  const finding = setInterval(stalls.find, findEveryMs);
  const answer = (): Answer => ({ at: performance.now(), stalled: stalls.read() + cpuWaitOf(process.pid) });
  const driver = probe(stopping.signal, answer, join(kubeletDir, 'plugins', driverName, 'csi.sock'), client =>
    openCalls(client, csi.v1.Node.service).NodeGetInfo({}),
  );
  const registration = probe(stopping.signal, answer, registrationPath(kubeletDir, driverName), client =>
    openCalls(client, pluginregistration.Registration.service).GetInfo({}),
  );
  return {
    async stop() {
      stopping.abort();
      const probes = { driver: await driver, registration: await registration };
      clearInterval(finding);
      await directory[Symbol.asyncDispose]();
      return probes;
    },
  };
}

async function probe(
  signal: AbortSignal,
  answer: () => Answer,
  socket: string,
  call: (client: Client) => Promise<unknown>,
): Promise<Probed> {
  const failures: string[] = [];
  const answers = [answer()];
  let calls = 0;
  const ask = async (): Promise<void> => {
    const client = new Client(`unix:${socket}`, credentials.createInsecure());
    try {
      await call(client);
      answers.push(answer());
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
  return { calls, failures, longest: longestGap(answers) };
}

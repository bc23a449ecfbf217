import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Logger } from 'pino';
import type { Direct } from '../../../src/cli/builder.ts';
import { runCli } from '../../../src/cli/program.ts';
import type { Settings } from '../../../src/cli/settings.ts';
import { connectRemote } from '../../../src/grpc/client/client.ts';
import { connectNode } from '../../../src/grpc/client/node.ts';
import { openNode } from '../../../src/wiring.ts';
import type { TestNode } from './daemon.ts';
import { main } from './main.ts';

const unmeasured = { bytesPulled() {}, damageFound() {}, pullEnded() {} };

export type CommandRun = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** The program as a user starts it on that node. */
export function startCommand(node: TestNode, argv: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [main, ...argv], { env: environmentOf(node), timeout: 20_000 });
}

/** The configuration of a node, for any state directory. */
export function configurationOf(
  node: Pick<TestNode, 'kubeletDir' | 'registriesConf' | 'registriesConfDir'>,
): Record<string, string> {
  return {
    OCI_ARTIFACT_KUBELET_DIR: node.kubeletDir,
    OCI_ARTIFACT_REGISTRIES_CONF: node.registriesConf,
    OCI_ARTIFACT_REGISTRIES_CONF_DIR: node.registriesConfDir,
    OCI_ARTIFACT_DISK_MAX: '100',
    OCI_ARTIFACT_CACHE_HIGH: '100', // the disk of the machine is not the test's
    OCI_ARTIFACT_CACHE_LOW: '100',
  };
}

/** Sets the socket only if there is one: a socket that nobody serves is an error. */
function environmentOf(node: TestNode): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    ...(existsSync(node.socket) ? { CSI_ENDPOINT: `unix://${node.socket}` } : {}),
    OCI_ARTIFACT_STATE_DIR: node.stateDir,
    ...configurationOf(node),
  };
}

/** Runs it until it ends by itself. */
export async function runCommand(node: TestNode, argv: readonly string[]): Promise<CommandRun> {
  const child = startCommand(node, argv);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, stdout, stderr };
}

/** The same in this process, which is faster: everything but `serve`. */
export async function runCommandHere(
  node: TestNode,
  argv: readonly string[],
  {
    stdin = '',
    signal = new AbortController().signal,
  }: { readonly stdin?: string; readonly signal?: AbortSignal } = {},
): Promise<CommandRun> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const written = Promise.all([text(stdout), text(stderr)]);
  const builder = {
    serve: () => assert.fail('serve has a process of its own'),
    hold: () => assert.fail('hold has a process of its own'),
    open: (settings: Settings, log: Logger, direct: Direct) => openNode(settings, log, unmeasured, direct),
    connect: async (socket: string) => connectRemote(socket),
    connectNode: async (socket: string) => connectNode(socket),
  };
  const code = await runCli(argv, builder, {
    stdin: Readable.from([stdin], { objectMode: false }),
    stdout,
    stderr,
    environment: environmentOf(node),
    now: Date.now,
    interrupted: () => signal,
  });
  stdout.end();
  stderr.end();
  const [out, errors] = await written;
  return { code, stdout: out, stderr: errors };
}

/** The first line of output if no daemon answers. */
export function usesStateDir(node: TestNode): string {
  const socket = join(node.kubeletDir, 'plugins/oci-artifact.csi.internal/csi.sock');
  return `oci-artifact-csi: no daemon answers on unix://${socket} or unix:///csi/csi.sock; using the state directory ${node.stateDir}\n`;
}

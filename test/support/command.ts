import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { TestNode } from './daemon.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export type CommandRun = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** The program as a person starts it on that node. */
export function startCommand(node: TestNode, argv: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [main, ...argv], {
    env: {
      PATH: process.env['PATH'],
      CSI_ENDPOINT: `unix://${node.socket}`,
      OCI_ARTIFACT_STATE_DIR: node.stateDir,
      OCI_ARTIFACT_KUBELET_DIR: node.kubeletDir,
      OCI_ARTIFACT_REGISTRIES_CONF: node.registriesConf,
      OCI_ARTIFACT_REGISTRIES_CONF_DIR: node.registriesConfDir,
      OCI_ARTIFACT_DISK_MAX: '100',
      OCI_ARTIFACT_CACHE_HIGH: '100', // the disk of the machine is not the test's
      OCI_ARTIFACT_CACHE_LOW: '100',
    },
    timeout: 20_000,
  });
}

/** Runs it until it ends, which it must do by itself. */
export async function runCommand(
  node: TestNode,
  argv: readonly string[],
  stdin: string = '',
): Promise<CommandRun> {
  const child = startCommand(node, argv);
  child.stdin.on('error', () => {}); // it need not read
  child.stdin.end(stdin);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, stdout, stderr };
}

/** What it says first where no daemon answers. */
export function usesStateDir(node: TestNode): string {
  return `oci-artifact-csi: no daemon answers on unix://${node.socket}; using the state directory ${node.stateDir}\n`;
}

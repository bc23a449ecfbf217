import { parseJsonObject } from '../configfile/json.ts';
import { ArtifactError } from '../util/error.ts';
import { runProgram } from '../util/helper-process.ts';
import { createMemo } from '../util/memo.ts';

/** A program of a kubeconfig that prints a credential (client.authentication.k8s.io). */
export type ExecPlugin = {
  readonly apiVersion: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
};

export type ExecCredential = {
  readonly token?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
};

/** As long as a request may take. */
const limitMs = 10_000;
/** How long a credential without an end is used. */
const usualMs = 10 * 60_000;
/** A credential is renewed before it ends. */
const earlyMs = 10_000;

/**
 * Returns a function that returns the present credential. One run at a time serves all callers. The program is killed
 * with all that it started when it exceeds its time, and when `closing` aborts.
 *
 * @throws ArtifactError `unavailable` with what the program did wrong; its output, which is secret, is not quoted.
 */
export function openExecCredential({
  apiVersion,
  ...program
}: ExecPlugin): (closing: AbortSignal, signal: AbortSignal) => Promise<ExecCredential> {
  const memo = createMemo<ExecCredential>(Date.now); // a credential ends at a date
  const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  const environment = { ...program.environment, KUBERNETES_EXEC_INFO: JSON.stringify(info) };
  return (closing, signal) =>
    memo.recall(
      '',
      async () => {
        const run = { ...program, environment, input: '', limitMs };
        const { code, output } = await runProgram(run, closing);
        if (code !== 0) throw new ArtifactError('unavailable', `${program.path} ended with code ${code}`);
        return parse(output, program.path);
      },
      signal,
    );
}

function parse(output: string, path: string): { readonly value: ExecCredential; readonly forMs: number } {
  try {
    const status = parseJsonObject(output).need('status').table();
    const ends = Date.parse(status.text('expirationTimestamp') ?? '');
    return {
      value: {
        token: status.text('token'),
        cert: status.text('clientCertificateData'),
        key: status.text('clientKeyData'),
      },
      forMs: Number.isNaN(ends) ? usualMs : ends - Date.now() - earlyMs,
    };
  } catch {
    // Without a cause: the message of a parser may quote the credential.
    throw new ArtifactError('unavailable', `${path} did not print an ExecCredential with a status`);
  }
}

import { Readable, Writable } from 'node:stream';
import type { Builder } from '../../../src/cli/builder.ts';
import { runCli } from '../../../src/cli/program.ts';
import type { Backend } from '../../../src/ports/backend.ts';
import { noon } from './samples.ts';

export type Ran = {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly json: unknown;
};

export type Around = {
  readonly artifacts?: Partial<Backend['artifacts']>;
  readonly publishing?: Partial<Backend['publishing']>;
  readonly builder?: Partial<Builder>;
  readonly stdin?: Iterable<Uint8Array | string>;
  /** The input typed at the terminal of stdin and stderr; without it they are not a terminal. */
  readonly answers?: string;
  /** undefined removes a variable that tests have by default. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
  /** The columns of the terminal of stdout; without it stdout is not a terminal. */
  readonly columns?: number;
};

/** The first line of output if no daemon answers, and no machine-readable output was requested. */
export const onDirectory =
  'oci-artifact-csi: no daemon answers on unix:///nowhere/plugins/oci-artifact.csi.internal/csi.sock or unix:///csi/csi.sock; using the state directory /\n';

/** Runs a command line on fakes; calls that a test did not provide fail. */
export async function runShell(argv: readonly string[], around: Around = {}): Promise<Ran> {
  const [stdout, stderr] = [collector(), collector()];
  const backend: Backend = {
    artifacts: fake('artifacts', around.artifacts),
    publishing: fake('publishing', around.publishing),
    close: async () => {},
  };
  const code = await runCli(
    argv,
    fake<Builder>('builder', { open: async () => backend, ...around.builder }),
    {
      stdin: Object.assign(
        Readable.from(around.answers === undefined ? (around.stdin ?? []) : [around.answers], {
          objectMode: false,
        }),
        { isTTY: around.answers !== undefined },
      ),
      stdout: Object.assign(stdout.stream, {
        isTTY: around.columns !== undefined,
        columns: around.columns ?? 0,
      }),
      stderr: Object.assign(stderr.stream, { isTTY: around.answers !== undefined }),
      environment: {
        OCI_ARTIFACT_KUBELET_DIR: '/nowhere',
        OCI_ARTIFACT_STATE_DIR: '/',
        ...around.environment,
      },
      now: () => noon,
      interrupted: () => around.signal ?? new AbortController().signal,
    },
  );
  return {
    code,
    stdout: stdout.text(),
    stderr: stderr.text(),
    get json() {
      return JSON.parse(stdout.text()) as unknown;
    },
  };
}

/** Members that were not provided throw when they are read. */
function fake<T extends object>(what: string, given: Partial<T> = {}): T {
  return new Proxy(given, {
    get(target, key) {
      if (key in target) return Reflect.get(target, key) as unknown;
      throw new Error(`this test has no ${what}.${String(key)}`);
    },
  }) as T;
}

function collector(): { readonly stream: Writable; text(): string } {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(chunk.toString());
      done();
    },
  });
  return { stream, text: () => chunks.join('') };
}

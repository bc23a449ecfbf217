import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { toolPath } from '../support/project/tools.ts';

/** The nodes of a directory by path, without its root. */
export type Found = {
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'symlink' | 'special';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since 1970. */
  readonly time: string;
  readonly inode: number;
  readonly target?: string;
  readonly sha256?: string;
  readonly xattrs?: Readonly<Record<string, string>>;
};
/** The nodes of an image, or why there are none. */
export type Outcome = { readonly error: string } | { readonly nodes: readonly Found[] };

/** containerd's extraction, by the program of test/tools/go/test/apply-layers. */
export type Extractor = AsyncDisposable & {
  /** Extracts layers to the empty directory, if there are any, and lists its content. */
  extract(root: string, layers: readonly string[]): Promise<Outcome>;
};

export function openExtractor(): Extractor {
  const program = spawn(toolPath('apply-layers'), { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  return {
    async extract(root, layers) {
      program.stdin.write(`${JSON.stringify({ root, layers })}\n`);
      const line = await lines.next();
      if (line.done === true) throw new Error('apply-layers has ended');
      const { error, nodes = [] } = JSON.parse(line.value) as { error?: string; nodes?: Found[] };
      return error === undefined ? { nodes } : { error };
    },
    async [Symbol.asyncDispose]() {
      const ended = new Promise(resolve => void program.once('close', resolve));
      program.stdin.end();
      await ended;
    },
  };
}

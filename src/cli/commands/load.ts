import { type Layout, readLayout } from '../layout.ts';
import { openProgress, type ProgressView } from '../progress.ts';
import { toDigested } from '../reference.ts';
import { operand, print, type Shell } from '../shell.ts';
import { formatLines } from '../text.ts';

/** Takes artifacts from an OCI image layout, for nodes that reach no registry. */
export async function load(shell: Shell, operands: readonly string[]): Promise<void> {
  const layout = await readLayout(operand(operands, 0), shell.terminal.stdin, shell.signal);
  using view = openProgress(shell.terminal.stderr, shell.output);
  const loaded = await shell.house.artifacts.load(shown(layout, view), operands[1], shell.signal);
  view.hide();
  const names = loaded.map(({ reference, descriptor: { digest } }) => toDigested({ reference, digest }));
  print(shell, { value: loaded, text: () => formatLines(names), names });
}

/** Shows how much has been taken of it. */
async function* shown(
  { tar, bytes: totalBytes = 0 }: Layout,
  view: ProgressView,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  view.update({ phase: 'read', bytes, totalBytes });
  for await (const chunk of tar) {
    yield chunk;
    bytes += chunk.length;
    view.update({ phase: 'read', bytes, totalBytes });
  }
  view.update({ phase: 'unpack', bytes, totalBytes });
}

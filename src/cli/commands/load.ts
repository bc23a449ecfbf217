import { type Layout, readLayout } from '../layout.ts';
import { openProgress, type ProgressView } from '../progress.ts';
import { operand, print, type Shell } from '../shell.ts';

/** Takes artifacts from an OCI image layout, for nodes that reach no registry. */
export async function load(shell: Shell, operands: readonly string[]): Promise<void> {
  const layout = await readLayout(operand(operands, 0), shell.terminal.stdin, shell.signal);
  using view = shell.json ? undefined : openProgress(shell.terminal.stderr);
  const tar = view === undefined ? layout.tar : shown(layout, view);
  const loaded = await shell.house.artifacts.load(tar, operands[1], shell.signal);
  view?.hide();
  print(shell, loaded, () =>
    loaded.map(({ reference, descriptor }) => `${reference}@${descriptor.digest}\n`).join(''),
  );
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

import { parseLayoutName } from '../../oci/layout.ts';
import type { Resolved } from '../../ports/usecases.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { toInterruption } from '../interruption.ts';
import { labelLayout, readLayout } from '../layout/layout.ts';
import type { Layout } from '../layout/layout-stream.ts';
import { print } from '../output.ts';
import { openProgress, type ProgressView } from '../progress.ts';
import { toDigested } from '../reference.ts';
import { operand, type Shell } from '../shell.ts';
import { formatLines } from '../text.ts';

/** Loads artifacts from an OCI image layout, for nodes without a registry. */
export async function load(shell: Shell, operands: readonly string[]): Promise<void> {
  const path = operand(operands, 0);
  if (operands[1] !== undefined) parseLayoutName(operands[1]);
  const loaded = await loadFrom(shell, path, operands[1]).catch((thrown: unknown) => {
    const label = labelLayout(path);
    throw toInterruption(about(label, thrown), shell.signal, `${label} is not loaded; load it again`);
  });
  const names = loaded.map(({ reference, descriptor: { digest } }) => toDigested({ reference, digest }));
  await print(shell, { value: loaded, text: () => formatLines(names), names });
}

async function loadFrom(
  shell: Shell,
  path: string,
  reference: string | undefined,
): Promise<readonly Resolved[]> {
  using layout = await readLayout(path, shell.terminal.stdin, shell.signal);
  using view = openProgress(shell.terminal.stderr, shell.output);
  return await shell.backend.artifacts.load(shown(layout, view), reference, shell.signal);
}

/** Adds the layout's name to an error. */
function about(label: string, thrown: unknown): ArtifactError {
  const { code, message } = toArtifactError(thrown);
  return new ArtifactError(code, `${label}: ${message}`, thrown);
}

/** Shows how much of the layout was read. */
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

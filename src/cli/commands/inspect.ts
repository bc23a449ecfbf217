import type { ArtifactDetail, EndpointCredentials, LayerDetail, PodName } from '../../ports/usecases.ts';
import { ArtifactError, invalidValue } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import { formatDigest } from '../../util/words.ts';
import { print } from '../output.ts';
import { toReference } from '../reference.ts';
import { toSecrets } from '../secrets.ts';
import { type Options, operand, type Shell } from '../shell.ts';
import { formatTable, type TableHeader } from '../table.ts';
import { formatFields, formatLines } from '../text.ts';

const header: TableHeader = {
  LAYER: 'digest',
  SIZE: 'fixed',
  KIND: 'fixed',
  CACHED: 'fixed',
  NAME: 'key',
  'MEDIA TYPE': 'spare',
};

/** Shows an artifact from the cache, or where its credentials are looked up. */
export async function inspect(shell: Shell, operands: readonly string[], options: Options): Promise<void> {
  if (options['credentials'] === true) return explain(shell, operand(operands, 0), options);
  if (options['pod'] !== undefined) throw new ArtifactError('invalid', '--pod goes with --credentials');
  const artifact = await shell.backend.artifacts.inspect(operand(operands, 0));
  const { reference } = artifact;
  await print(shell, { value: artifact, text: () => formatArtifact(artifact, shell), names: [reference] });
}

function formatArtifact(artifact: ArtifactDetail, { columns, whole }: Shell): string {
  const { reference, otherNames, digest, manifest, kind, mediaType, artifactType, annotations } = artifact;
  const fields = formatFields([
    ['reference', reference],
    ...otherNames.map(name => ['also', name] as const),
    ['digest', digest],
    ['manifest', manifest],
    ['kind', kind],
    ['media type', mediaType],
    ['artifact type', artifactType || '-'],
    ...artifact.viewDigests.map(image => ['view digest', image] as const),
    ['signatures', artifact.verdict],
    ['pinned', artifact.pinned ? 'yes' : 'no'],
    ['volumes', artifact.volumes.join(', ') || 'none'],
    ...artifact.notes.map(note => ['note', note] as const),
    ...Object.entries(annotations).map(([name, value]) => [`annotation ${name}`, value] as const),
  ]);
  const layers = artifact.layers.map(layer => [
    formatDigest(layer.digest, whole),
    formatSize(layer.size),
    layer.form,
    isShown(layer) ? (layer.held ? 'yes' : 'no') : '-',
    isShown(layer) ? layer.name || '/' : '-',
    layer.mediaType,
  ]);
  return fields + formatTable(header, layers, columns);
}

/** Whether the tree has something of a layer. */
function isShown({ form }: LayerDetail): boolean {
  return form !== 'chunks' && form !== 'empty';
}

async function explain(shell: Shell, reference: string, options: Options): Promise<void> {
  const secrets = await toSecrets(options, shell.terminal.stdin);
  const pod = parsePodName(options['pod']);
  const asker = { secrets, ...(pod === undefined ? {} : { pod }) };
  const asked = await toReference(reference, shell.backend);
  const endpoints = await shell.backend.artifacts.explain(asked, asker, shell.signal);
  await print(shell, {
    value: endpoints,
    text: () => formatEndpoints(endpoints),
    names: endpoints.map(({ endpoint }) => endpoint),
  });
}

function formatEndpoints(endpoints: readonly EndpointCredentials[]): string {
  return formatLines(
    endpoints.flatMap(({ endpoint, sources }) => [
      endpoint,
      ...sources.map((source, index) => `  ${index + 1}. ${source}`),
    ]),
  );
}

/** @throws ArtifactError `invalid`. */
function parsePodName(option: unknown): PodName | undefined {
  if (typeof option !== 'string') return undefined;
  const [namespace = '', name = '', ...rest] = option.split('/');
  if (namespace !== '' && name !== '' && rest.length === 0) return { namespace, name };
  throw invalidValue('pod', option, 'must be NAMESPACE/NAME', '--pod');
}

import type { KubeChange, KubeObjects, KubePath } from '../ports/kube-objects.ts';
import { createByteCollector } from '../util/byte-collector.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { isObject, type JsonObject } from '../util/json.ts';
import { openStream } from './api-request.ts';
import type { ClusterAccess } from './cluster.ts';
import { longestAnswer, parseObjectJson } from './object-json.ts';
import { toRefusal } from './object-refusal.ts';

/** How much longer than it was asked a watch may last: a connection can end without a word. */
const graceMs = 30_000;

const kinds: Readonly<Record<string, KubeChange['kind']>> = {
  ADDED: 'put',
  MODIFIED: 'put',
  DELETED: 'gone',
  BOOKMARK: 'mark',
};

/** See KubeObjects.watch. */
export async function watchObjects(
  access: ClusterAccess,
  path: KubePath,
  { version, seconds, without }: Parameters<KubeObjects['watch']>[1],
  onChange: Parameters<KubeObjects['watch']>[2],
  signal: AbortSignal,
): Promise<boolean> {
  const query = {
    watch: 'true',
    resourceVersion: version,
    allowWatchBookmarks: 'true',
    timeoutSeconds: `${seconds}`,
    ...toFieldSelector(without),
  };
  const limited = AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000 + graceMs)]);
  const response = await openStream(access, { method: 'GET', path, query }, limited);
  const code = response.statusCode ?? 0;
  try {
    if (code !== 200) {
      const { value: text = '' } = await linesOf(response).next();
      if (code === 410) return false;
      throw toRefusal({ code, text }, 'watch', path, access.url);
    }
    const begun = { kind: 'mark', object: { metadata: { resourceVersion: version } }, bytes: 0 } as const;
    if (!(await onChange(begun))) return true;
    for await (const line of linesOf(response)) {
      const { type, object } = await parseEvent(line, signal);
      const kind = typeof type === 'string' ? kinds[type] : undefined;
      if (kind !== undefined) {
        if (!(await onChange({ kind, object, bytes: line.length }))) return true;
      } else if (isObject(object) && object['code'] === 410) return false;
      else throw toRefusal({ code: 500, text: JSON.stringify(object ?? {}) }, 'watch', path, access.url);
    }
    return true;
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof ArtifactError) throw thrown;
    const why = `the watch of the Kubernetes API at ${access.url} ended: ${toArtifactError(thrown).message}`;
    throw new ArtifactError('unavailable', why, thrown);
  } finally {
    response.destroy();
  }
}

/** Custom resources have this field, which the API filters by. */
export function toFieldSelector(without: readonly string[] = []): { readonly fieldSelector?: string } {
  const fieldSelector = without.map(namespace => `metadata.namespace!=${namespace}`).join(',');
  return fieldSelector === '' ? {} : { fieldSelector };
}

async function parseEvent(line: string, signal: AbortSignal): Promise<JsonObject> {
  try {
    const event = await parseObjectJson(line, signal);
    return isObject(event) ? event : {};
  } catch (thrown) {
    throw new Error('a change cannot be read', { cause: thrown });
  }
}

/** The bytes of a line are in one buffer, however small the chunks are. */
async function* linesOf(response: AsyncIterable<Buffer>): AsyncGenerator<string, undefined> {
  const line = createByteCollector(longestAnswer);
  const keep = (part: Buffer): void => {
    if (!line.add(part)) throw new Error(`a change has more than ${longestAnswer} bytes`);
  };
  const take = (): string => {
    const text = line.bytes().toString();
    line.clear();
    return text;
  };
  for await (const chunk of response) {
    let from = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, from)) {
      keep(chunk.subarray(from, end));
      from = end + 1;
      const text = take();
      if (text !== '') yield text;
    }
    keep(chunk.subarray(from));
  }
  const text = take();
  if (text !== '') yield text;
  return undefined;
}

const lineFeed = 0x0a;

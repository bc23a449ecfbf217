import { isDigest } from '../../oci/digest.ts';
import type { SharedContent, Sharing } from '../../ports/sharing.ts';
import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { bothStreams, type Edge, serverStream, unary } from '../edge/call.ts';
import type { ContentHandlers } from '../wire/containerd/services/content/v1/Content.ts';
import type { Info } from '../wire/containerd/services/content/v1/Info.ts';
import { createContentReader } from './content-reader.ts';
import { compileFilters, type FieldOf } from './filter.ts';
import { refuse, refusing } from './refusal.ts';
import { toTimestamp } from './timestamp.ts';

/** Blobs in one message of a list, as containerd sends them. */
const atOnce = 100;

/** containerd.services.content.v1.Content. */
export function contentHandlers(edge: Edge, sharing: Pick<Sharing, 'content' | 'contents'>): ContentHandlers {
  const denied = refusing(edge);
  const read = createContentReader();

  const find = async (digest: string, signal: AbortSignal): Promise<SharedContent> => {
    if (!isDigest(digest)) throw new ArtifactError('invalid', `${quoteName(digest)} failed validation`);
    const content = await sharing.content(digest, signal);
    if (content !== undefined) return content;
    throw new ArtifactError('not-found', `content ${digest}: not found`);
  };

  return {
    Info: unary(edge, async ({ digest }, { signal }) => ({ info: toInfo(await find(digest, signal)) })),
    List: serverStream(edge, async ({ filters }, send, { signal }) => {
      const isWanted = await compileFilters(filters);
      let info: Info[] = [];
      for await (const content of sharing.contents(signal)) {
        if (!isWanted(fieldOf(content))) continue;
        info.push(toInfo(content));
        if (info.length < atOnce) continue;
        await send({ info });
        info = [];
      }
      if (info.length > 0) await send({ info });
    }),
    Read: serverStream(edge, async ({ digest, offset, size }, send, { signal }) => {
      const range = { offset: Math.max(0, offset), size };
      await read(await find(digest, signal), range, send, signal);
    }),
    Status: unary(edge, async ({ ref }) => {
      throw new ArtifactError('not-found', `ingest ${quoteName(ref)}: not found`);
    }),
    ListStatuses: unary(edge, async () => ({})),
    Update: denied,
    Delete: denied,
    Abort: denied,
    Write: bothStreams(edge, async () => refuse()),
  };
}

function toInfo(content: SharedContent): Info {
  const { digest, size, since } = content;
  const at = toTimestamp(since);
  return { digest, size, created_at: at, updated_at: at, labels: Object.fromEntries(labelsOf(content)) };
}

/** For each registry the repositories that have it, as containerd labels what it has pulled. */
function labelsOf({ repositories }: SharedContent): ReadonlyMap<string, string> {
  const byRegistry = Map.groupBy(repositories, ({ registry }) => registry);
  return new Map(
    [...byRegistry].map(([registry, all]) => [
      `containerd.io/distribution.source.${registry}`,
      [...new Set(all.map(({ path }) => path))].toSorted().join(','),
    ]),
  );
}

function fieldOf(content: SharedContent): FieldOf {
  return ([field, ...rest]) => {
    if (field === 'digest') return content.digest;
    return field === 'labels' ? labelsOf(content).get(rest.join('.')) : undefined;
  };
}

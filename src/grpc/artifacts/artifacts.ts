import type { Publishing } from '../../ports/publishing.ts';
import type { Artifacts, PodName, Progress } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import { findOwnMount } from '../../volume/manual-mount.ts';
import { parseTargetPath } from '../csi/publish-request.ts';
import { type CallContext, clientStream, type Edge, serverStream, unary } from '../edge/call.ts';
import type { ArtifactsHandlers } from '../wire/ociartifact/v1/Artifacts.ts';
import type { LoadRequest__Output } from '../wire/ociartifact/v1/LoadRequest.ts';
import {
  fromDetail,
  fromFinding,
  fromProgress,
  fromPruned,
  fromPulled,
  fromPullStatus,
  fromRemoved,
  fromResolved,
  fromSummary,
  fromVolume,
} from './message.ts';
import { parseMountRequest, parsePullRequest } from './mount-request.ts';
import { fromNodeStatus } from './status-message.ts';

/** How often progress is sent within one phase, ms. */
const pace = 200;

/** Progress messages that may wait until the caller reads them. */
const mostUnderway = 16;

/** ociartifact.v1.Artifacts: the use cases for users. */
export function artifactsHandlers(
  edge: Edge,
  artifacts: Artifacts,
  publishing: Publishing,
): ArtifactsHandlers {
  return {
    Resolve: unary(edge, async ({ reference, secrets }, call) => {
      const resolved = await artifacts.resolve(required(reference, call), secrets, call.signal);
      call.note({ digest: resolved.descriptor.digest });
      return { resolved: fromResolved(resolved) };
    }),
    Pull: serverStream(edge, async (wire, send, call) => {
      const request = parsePullRequest(wire);
      call.note({ reference: request.reference });
      const onProgress = paced<Progress>(progress => send({ progress: fromProgress(progress) }));
      const pulled = await artifacts.pull(request, onProgress, call.signal);
      call.note({ digest: pulled.digest, bytes: pulled.bytes });
      await send({ result: fromPulled(pulled) });
    }),
    GetStatus: unary(edge, async () => fromNodeStatus(await artifacts.status())),
    ListPulls: unary(edge, async () => ({ pulls: (await artifacts.pulls()).map(fromPullStatus) })),
    CancelPull: unary(edge, async ({ reference }, call) => ({
      pulls: await artifacts.cancel(required(reference, call)),
    })),
    List: unary(edge, async () => ({ artifacts: (await artifacts.list()).map(fromSummary) })),
    Inspect: unary(edge, async ({ reference }, call) =>
      fromDetail(await artifacts.inspect(required(reference, call))),
    ),
    ExplainCredentials: unary(edge, async ({ reference, secrets, pod }, call) => {
      const asker = { secrets, ...(pod === null ? {} : { pod: parsePodName(pod) }) };
      const endpoints = await artifacts.explain(required(reference, call), asker, call.signal);
      return { endpoints: endpoints.map(({ endpoint, sources }) => ({ endpoint, sources: [...sources] })) };
    }),
    Remove: unary(edge, async ({ reference }, call) => {
      const removed = await artifacts.remove(required(reference, call));
      call.note({ bytes: removed.bytes });
      return fromRemoved(removed);
    }),
    Prune: unary(edge, async ({ dry_run: dryRun }, call) => {
      if (dryRun) return fromPruned(await artifacts.previewPrune(call.signal));
      const pruned = await artifacts.prune(call.signal);
      call.note({ bytes: pruned.bytes });
      return fromPruned(pruned);
    }),
    Pin: unary(edge, async ({ reference }, call) => {
      const digest = await artifacts.pin(required(reference, call));
      call.note({ digest });
      return { digest };
    }),
    Unpin: unary(edge, async ({ reference }, call) => {
      await artifacts.unpin(required(reference, call));
      return {};
    }),
    ListVolumes: unary(edge, async () => ({ volumes: (await artifacts.volumes()).map(fromVolume) })),
    Load: clientStream(edge, async (messages, call) => {
      const tar = messages[Symbol.asyncIterator]();
      const first = await tar.next();
      const reference = first.done === true ? '' : first.value.reference;
      call.note({ reference });
      const loaded = await artifacts.load(chunks(first, tar), reference || undefined, call.signal);
      return { loaded: loaded.map(fromResolved) };
    }),
    Fsck: serverStream(edge, async ({ repair }, send, call) => {
      let found = 0;
      const onProgress = paced<Pick<Progress, 'bytes' | 'totalBytes'>>(({ bytes, totalBytes }) =>
        send({ progress: { bytes, total_bytes: totalBytes } }),
      );
      const result = await artifacts.fsck(
        repair,
        finding => {
          found++;
          const { path, problem, artifacts: needing, keptBy, repaired: isRepaired } = finding;
          if (!isRepaired)
            edge.log.warn({ path, artifacts: needing, keptBy }, `fsck found damage: ${problem}`);
          return send({ finding: fromFinding(finding) });
        },
        call.signal,
        onProgress,
      );
      call.note({ checked: result.checked, damaged: found });
      await send({ result });
    }),
    Mount: unary(edge, async (wire, call) => {
      call.note({ target: wire.target });
      const request = parseMountRequest(wire);
      call.note({ volumeId: request.volumeId, reference: request.reference });
      const { origin, ...volume } = await publishing.publish(request, call.signal);
      call.note({ digest: volume.digest, bytes: volume.bytes, ...origin });
      return { volume: fromVolume({ ...volume, mounted: true }) };
    }),
    Unmount: unary(edge, async ({ target }, call) => {
      call.note({ target });
      await unmount(artifacts, publishing, parseTargetPath(target, 'target'), call);
      return {};
    }),
  };
}

async function unmount(
  artifacts: Artifacts,
  publishing: Publishing,
  path: string,
  call: CallContext,
): Promise<void> {
  const volume = findOwnMount(await artifacts.volumes(), path);
  if (volume === undefined) return;
  call.note({ volumeId: volume.volumeId });
  await publishing.unpublish({ path, anywhere: true }, call.signal);
}

function parsePodName({ namespace, name }: PodName): PodName {
  if (namespace !== '' && name !== '') return { namespace, name };
  throw new ArtifactError('invalid', 'pod needs a namespace and a name; leave it out for no pod');
}

function required(reference: string, call: CallContext): string {
  if (reference === '') {
    throw new ArtifactError(
      'invalid',
      'reference is missing; set it to an artifact, such as ghcr.io/org/model:v1',
    );
  }
  call.note({ reference });
  return reference;
}

/**
 * Passes a new phase on at once, and progress within a phase a few times a second. Drops progress while the caller
 * reads nothing, because later progress replaces it.
 */
function paced<Step extends Partial<Progress>>(
  send: (progress: Step) => Promise<void>,
): (progress: Step) => void {
  let step = '';
  let sent = Number.NEGATIVE_INFINITY;
  let underway = 0;
  return progress => {
    const now = performance.now();
    const next = `${progress.phase} ${progress.waits}`;
    if (underway >= mostUnderway || (next === step && now - sent < pace)) return;
    step = next;
    sent = now;
    underway++;
    const taken = (): void => void underway--;
    send(progress).then(taken, () => {}); // the result of the call reports the error
  };
}

/** The bytes of an archive. @throws `invalid` if they end without the end mark. */
async function* chunks(
  first: IteratorResult<LoadRequest__Output>,
  rest: AsyncIterator<LoadRequest__Output>,
): AsyncGenerator<Uint8Array> {
  for (let next = first; next.done !== true; next = await rest.next()) {
    const { reference, chunk, last } = next.value;
    if (next !== first && reference !== '') {
      throw new ArtifactError(
        'invalid',
        'only the first message may name a reference; load one archive per call',
      );
    }
    if (chunk.length > 0) yield chunk;
    if (last) return;
  }
  throw new ArtifactError(
    'invalid',
    'the archive broke off: no message said that it was the last; load it again',
  );
}

import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseDigest } from '../../oci/digest.ts';
import { formatPlatform } from '../../oci/platform.ts';
import type { Backend } from '../../ports/backend.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Artifacts, Pulled, Resolved } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import { toNodeStatus } from '../artifacts/status-message.ts';
import { openArtifacts } from '../edge/definitions.ts';
import type { ArtifactsClient } from '../wire/ociartifact/v1/Artifacts.ts';
import type { CancelPullResponse__Output } from '../wire/ociartifact/v1/CancelPullResponse.ts';
import type { ExplainCredentialsResponse__Output } from '../wire/ociartifact/v1/ExplainCredentialsResponse.ts';
import type { GetStatusResponse__Output } from '../wire/ociartifact/v1/GetStatusResponse.ts';
import type { ListPullsResponse__Output } from '../wire/ociartifact/v1/ListPullsResponse.ts';
import type { ListResponse__Output } from '../wire/ociartifact/v1/ListResponse.ts';
import type { ListVolumesResponse__Output } from '../wire/ociartifact/v1/ListVolumesResponse.ts';
import type { LoadRequest } from '../wire/ociartifact/v1/LoadRequest.ts';
import type { LoadResponse__Output } from '../wire/ociartifact/v1/LoadResponse.ts';
import type { MountResponse__Output } from '../wire/ociartifact/v1/MountResponse.ts';
import type { PinResponse__Output } from '../wire/ociartifact/v1/PinResponse.ts';
import type { PruneResponse__Output } from '../wire/ociartifact/v1/PruneResponse.ts';
import type { PullRequest as WirePull } from '../wire/ociartifact/v1/PullRequest.ts';
import type { RemoveResponse__Output } from '../wire/ociartifact/v1/RemoveResponse.ts';
import type { ResolveResponse__Output } from '../wire/ociartifact/v1/ResolveResponse.ts';
import { type ClientCalls, openCalls, resultOf } from './call.ts';
import {
  toDetail,
  toFinding,
  toProgress,
  toPruned,
  toPulled,
  toPullStatus,
  toRemoved,
  toResolved,
  toSummary,
  toVolume,
} from './value.ts';

/** Bytes of a message: as fast as 1 MiB, and the daemon needs 30 MB less at the peak of a load. */
const largestChunk = 1 << 16;

/**
 * The use cases of the daemon behind a socket, by ociartifact.v1. Errors keep their codes and messages. Calls that need
 * no network or long work time out after `timeoutMs`.
 */
export function connectRemote(socketPath: string, timeoutMs = 10_000): Backend {
  const client = openArtifacts(socketPath);
  const calls = openCalls(client, socketPath);
  const { ask } = calls;
  const askPromptly: ClientCalls['ask'] = async start => {
    const late = AbortSignal.timeout(timeoutMs);
    try {
      return await ask(start, late);
    } catch (thrown) {
      if (!late.aborted) throw thrown;
      const why = `the daemon at unix://${socketPath} does not answer; its log may say why`;
      throw new ArtifactError('unavailable', why, thrown);
    }
  };
  return {
    artifacts: toArtifacts(client, calls, askPromptly),
    publishing: {
      async publish(request, signal) {
        const mount = { target: request.targetPath, artifact: toWirePull(request) };
        const { volume } = await ask<MountResponse__Output>(done => client.Mount(mount, done), signal);
        return toVolume(resultOf(volume ?? undefined));
      },
      async unpublish({ path: target }, signal) {
        await ask(done => client.Unmount({ target }, done), signal);
      },
    },
    async close() {
      client.close();
    },
  };
}

function toArtifacts(
  client: ArtifactsClient,
  calls: ClientCalls,
  askPromptly: ClientCalls['ask'],
): Artifacts {
  const { ask, follow } = calls;
  return {
    async resolve(reference, secrets, signal) {
      const { resolved } = await ask<ResolveResponse__Output>(
        done => client.Resolve({ reference, secrets }, done),
        signal,
      );
      return toResolved(resultOf(resolved ?? undefined));
    },
    async pull(request, onProgress, signal) {
      let pulled: Pulled | undefined;
      for await (const { progress, result } of follow(() => client.Pull(toWirePull(request)), signal)) {
        if (progress) onProgress(toProgress(progress));
        if (result) pulled = toPulled(result);
      }
      return resultOf(pulled);
    },
    async status() {
      return toNodeStatus(await askPromptly<GetStatusResponse__Output>(done => client.GetStatus({}, done)));
    },
    async pulls() {
      const { pulls } = await askPromptly<ListPullsResponse__Output>(done => client.ListPulls({}, done));
      return pulls.map(toPullStatus);
    },
    async cancel(reference) {
      const answer = await askPromptly<CancelPullResponse__Output>(done =>
        client.CancelPull({ reference }, done),
      );
      return answer.pulls;
    },
    async list() {
      const { artifacts } = await askPromptly<ListResponse__Output>(done => client.List({}, done));
      return artifacts.map(toSummary);
    },
    async inspect(reference) {
      return toDetail(await askPromptly(done => client.Inspect({ reference }, done)));
    },
    async explain(reference, { secrets, pod }, signal) {
      const { endpoints } = await ask<ExplainCredentialsResponse__Output>(
        done => client.ExplainCredentials({ reference, secrets, pod: pod ?? null }, done),
        signal,
      );
      return endpoints.map(({ endpoint, sources }) => ({ endpoint, sources }));
    },
    async remove(reference) {
      return toRemoved(await ask<RemoveResponse__Output>(done => client.Remove({ reference }, done)));
    },
    async prune(signal) {
      return toPruned(await ask<PruneResponse__Output>(done => client.Prune({}, done), signal));
    },
    async previewPrune(signal) {
      const wanted = { dry_run: true };
      return toPruned(await ask<PruneResponse__Output>(done => client.Prune(wanted, done), signal));
    },
    async pin(reference) {
      const { digest } = await askPromptly<PinResponse__Output>(done => client.Pin({ reference }, done));
      return parseDigest(digest);
    },
    async unpin(reference) {
      await askPromptly(done => client.Unpin({ reference }, done));
    },
    async volumes() {
      const { volumes } = await askPromptly<ListVolumesResponse__Output>(done =>
        client.ListVolumes({}, done),
      );
      return volumes.map(toVolume);
    },
    load: (tar, reference, signal) => load(client, calls, { tar, reference }, signal),
    async fsck(repair, onFinding, signal, onProgress) {
      let checked: number | undefined;
      for await (const { finding, result, progress } of follow(() => client.Fsck({ repair }), signal)) {
        if (finding) await onFinding(toFinding(finding));
        if (progress) onProgress?.({ bytes: progress.bytes, totalBytes: progress.total_bytes });
        if (result) ({ checked } = result);
      }
      return { checked: resultOf(checked) };
    },
  };
}

type Archive = { readonly tar: AsyncIterable<Uint8Array>; readonly reference: string | undefined };

/** The daemon's error takes precedence, unless the tar could not be read. */
async function load(
  client: ArtifactsClient,
  { ask }: ClientCalls,
  { tar, reference }: Archive,
  signal: AbortSignal,
): Promise<readonly Resolved[]> {
  const answered = new AbortController();
  let unreadable: unknown;
  const read = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* tar;
    } catch (thrown) {
      if (!answered.signal.aborted) unreadable = thrown;
      throw thrown;
    }
  };
  try {
    const { loaded } = await ask<LoadResponse__Output>(done => {
      const call = client.Load(done);
      // A plain stream: the types of gRPC and Node disagree.
      const body: Writable = call;
      pipeline(toMessages(read(), reference), body, { signal: answered.signal }).catch(() => call.cancel());
      return call;
    }, signal);
    return loaded.map(toResolved);
  } catch (error) {
    throw signal.aborted ? error : (unreadable ?? error);
  } finally {
    answered.abort();
  }
}

async function* toMessages(
  tar: AsyncIterable<Uint8Array>,
  reference: string | undefined,
): AsyncGenerator<LoadRequest> {
  if (reference !== undefined) yield { reference };
  for await (const bytes of tar) {
    for (let at = 0; at < bytes.length; at += largestChunk) {
      yield { chunk: bytes.subarray(at, at + largestChunk) };
    }
  }
  yield { last: true };
}

/** Each field is the volume attribute of the same name. */
function toWirePull({ reference, pullPolicy, platform, selection, secrets }: PullRequest): WirePull {
  return {
    reference,
    pull_policy: pullPolicy ?? '',
    platform: platform === undefined ? '' : formatPlatform(platform),
    unpack: selection.unpack,
    sub_path: selection.subPath ?? '',
    include: selection.include.join(','),
    exclude: selection.exclude.join(','),
    secrets,
  };
}
